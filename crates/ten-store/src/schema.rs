//! The tables, and how an older database becomes a current one.
//!
//! `user_version` of the file counts the migrations that have been applied. Each is applied
//! whole or not at all. A migration that has been released is never edited.

use rusqlite::{Connection, TransactionBehavior};

const MIGRATIONS: &[&str] = &[include_str!("schema/1.sql")];

/// The version that a current database has.
pub(crate) const VERSION: i64 = MIGRATIONS.len() as i64;

pub(crate) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Applies what is missing.
pub(crate) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    // The lock comes before the look, so that of two who open a new file one waits.
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let applied = usize::try_from(version(&tx)?).unwrap_or(0);
    for migration in MIGRATIONS.iter().skip(applied) {
        tx.execute_batch(migration)?;
    }
    if applied < MIGRATIONS.len() {
        tx.pragma_update(None, "user_version", VERSION)?;
    }
    tx.commit()
}
