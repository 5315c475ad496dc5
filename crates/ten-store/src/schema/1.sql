-- Times are seconds since 1970 in UTC.

CREATE TABLE instances (
    service    TEXT    NOT NULL,
    id         TEXT    NOT NULL,
    weight     INTEGER NOT NULL,
    origin     TEXT    NOT NULL CHECK (origin IN ('operator', 'request')),
    created_at INTEGER NOT NULL DEFAULT (unixepoch()),
    PRIMARY KEY (service, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE tokens (
    prefix     TEXT    NOT NULL PRIMARY KEY,
    hash       TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    last_used  INTEGER
) STRICT, WITHOUT ROWID;
