//! Facts and their rows: the one place that knows both, and all SQL on tables.

use std::str::FromStr;

use jiff::Timestamp;
use rusqlite::{
    Connection, OptionalExtension, Result, Row, ToSql, named_params, params,
    types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef},
};
use ten_domain::{InstanceName, Weight};

use crate::{KnownInstance, Origin, Token};

/// A change of one row, as data.
#[derive(Debug)]
pub(crate) enum Write {
    Remember(InstanceName, Weight, Origin),
    Forget(InstanceName),
    SetWeight(InstanceName, Weight),
    InsertToken(Token),
    TouchToken { prefix: String, at: Timestamp },
    DeleteToken { prefix: String },
}

impl Write {
    /// Makes the change; `false` where there was nothing to change.
    pub(crate) fn execute(&self, db: &Connection) -> Result<bool> {
        let changed = match self {
            Self::Remember(name, weight, origin) => {
                let sql = "INSERT INTO instances (service, id, weight, origin)
                           VALUES (?1, ?2, ?3, ?4)
                           ON CONFLICT DO UPDATE
                           SET weight = excluded.weight, origin = excluded.origin";
                let (service, id) = (name.service.as_str(), name.id.as_str());
                db.prepare_cached(sql)?.execute(params![service, id, weight.get(), origin])
            }
            Self::Forget(name) => db
                .prepare_cached("DELETE FROM instances WHERE service = ?1 AND id = ?2")?
                .execute([name.service.as_str(), name.id.as_str()]),
            Self::SetWeight(name, weight) => db
                .prepare_cached("UPDATE instances SET weight = ?3 WHERE service = ?1 AND id = ?2")?
                .execute(params![name.service.as_str(), name.id.as_str(), weight.get()]),
            Self::InsertToken(token) => insert_token(db, token),
            Self::TouchToken { prefix, at } => db
                .prepare_cached("UPDATE tokens SET last_used = ?2 WHERE prefix = ?1")?
                .execute(params![prefix, Seconds(*at)]),
            Self::DeleteToken { prefix } => {
                db.prepare_cached("DELETE FROM tokens WHERE prefix = ?1")?.execute([prefix])
            }
        };
        Ok(changed? > 0)
    }
}

fn insert_token(db: &Connection, token: &Token) -> Result<usize> {
    let sql = "INSERT INTO tokens (prefix, hash, name, created_at, expires_at, last_used)
               VALUES (:prefix, :hash, :name, :created_at, :expires_at, :last_used)
               ON CONFLICT DO NOTHING";
    db.prepare_cached(sql)?.execute(named_params! {
        ":prefix": token.prefix,
        ":hash": token.hash,
        ":name": token.name,
        ":created_at": Seconds(token.created_at),
        ":expires_at": token.expires_at.map(Seconds),
        ":last_used": token.last_used.map(Seconds),
    })
}

/// Every instance, sorted by name.
pub(crate) fn instances(db: &Connection) -> Result<Vec<KnownInstance>> {
    let sql = "SELECT service, id, weight, origin, created_at FROM instances ORDER BY service, id";
    db.prepare_cached(sql)?.query_map([], instance)?.collect()
}

/// Every token, the oldest first.
pub(crate) fn tokens(db: &Connection) -> Result<Vec<Token>> {
    let sql = "SELECT prefix, hash, name, created_at, expires_at, last_used FROM tokens
               ORDER BY created_at, prefix";
    db.prepare_cached(sql)?.query_map([], token)?.collect()
}

/// The token with this prefix.
pub(crate) fn find_token(db: &Connection, prefix: &str) -> Result<Option<Token>> {
    let sql = "SELECT prefix, hash, name, created_at, expires_at, last_used FROM tokens
               WHERE prefix = ?1";
    db.prepare_cached(sql)?.query_row([prefix], token).optional()
}

/// By the numbers of its columns: there may be ten thousand rows, and a start waits for them;
/// with names, a tenth of the front's work until then was to look for those.
fn instance(row: &Row<'_>) -> Result<KnownInstance> {
    let Name(service) = row.get(0)?;
    let Name(id) = row.get(1)?;
    let Share(weight) = row.get(2)?;
    let origin = row.get(3)?;
    let Seconds(created_at) = row.get(4)?;
    Ok(KnownInstance { name: InstanceName::new(service, id), weight, origin, created_at })
}

fn token(row: &Row<'_>) -> Result<Token> {
    let Seconds(created_at) = row.get("created_at")?;
    let time = |column| row.get(column).map(|t: Option<Seconds>| t.map(|Seconds(t)| t));
    Ok(Token {
        prefix: row.get("prefix")?,
        hash: row.get("hash")?,
        name: row.get("name")?,
        created_at,
        expires_at: time("expires_at")?,
        last_used: time("last_used")?,
    })
}

/// A name as TEXT.
struct Name<T>(T);

impl<T: FromStr<Err: std::error::Error + Send + Sync + 'static>> FromSql for Name<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map(Self).map_err(FromSqlError::other)
    }
}

/// A weight as INTEGER.
struct Share(Weight);

impl FromSql for Share {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let number = value.as_i64()?;
        let weight = u8::try_from(number).ok().and_then(Weight::new);
        weight.map(Self).ok_or(FromSqlError::OutOfRange(number))
    }
}

/// A time as INTEGER seconds since 1970.
struct Seconds(Timestamp);

impl ToSql for Seconds {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        Ok(self.0.as_second().into())
    }
}

impl FromSql for Seconds {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Timestamp::from_second(value.as_i64()?).map(Self).map_err(FromSqlError::other)
    }
}

impl ToSql for Origin {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Operator => "operator".into(),
            Self::Request => "request".into(),
        })
    }
}

impl FromSql for Origin {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value.as_str()? {
            "operator" => Ok(Self::Operator),
            "request" => Ok(Self::Request),
            _ => Err(FromSqlError::InvalidType),
        }
    }
}
