use std::{collections::BTreeSet, fs, os::unix::fs::MetadataExt};

use tempfile::TempDir;

use super::*;

fn name(text: &str) -> InstanceName {
    text.parse().unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn weight(value: u8) -> Weight {
    Weight::new(value).unwrap()
}

fn open() -> (TempDir, Store) {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).unwrap();
    (dir, store)
}

/// Without the thread, so that it is closed when it is dropped.
fn open_here() -> (TempDir, Database) {
    let dir = TempDir::new().unwrap();
    let database = Database::open(&Arc::new(dir.path().join(FILE_NAME))).unwrap();
    (dir, database)
}

fn token(prefix: &str) -> Token {
    Token {
        prefix: prefix.into(),
        hash: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA".into(),
        name: "ci".into(),
        created_at: at(1_000),
        expires_at: Some(at(2_000)),
        last_used: None,
    }
}

/// What `all` says, without the times.
async fn known(store: &Store) -> Vec<(String, u8, Origin)> {
    let all = store.all().await.unwrap();
    all.iter().map(|k| (k.name.to_string(), k.weight.get(), k.origin)).collect()
}

#[tokio::test]
async fn instances_are_remembered_over_a_reopening() {
    let (dir, store) = open();
    let started = Timestamp::now();
    store.remember(name("web:b"), Weight::NONE, Origin::Request).await.unwrap();
    store.remember(name("api:a"), Weight::FULL, Origin::Operator).await.unwrap();
    drop(store);

    let store = Store::open(dir.path()).unwrap();
    let want =
        [("api:a".to_owned(), 100, Origin::Operator), ("web:b".to_owned(), 0, Origin::Request)];
    assert_eq!(known(&store).await, want);
    for known in store.all().await.unwrap() {
        let age = started.as_second() - known.created_at.as_second();
        assert!(age.abs() <= 60, "created {age} s ago");
    }
}

#[tokio::test]
async fn remembering_again_replaces_weight_and_origin() {
    let (_dir, store) = open();
    store.remember(name("api:a"), Weight::NONE, Origin::Request).await.unwrap();
    let before = store.all().await.unwrap();
    store.remember(name("api:a"), weight(30), Origin::Operator).await.unwrap();
    assert_eq!(known(&store).await, [("api:a".to_owned(), 30, Origin::Operator)]);
    assert_eq!(store.all().await.unwrap()[0].created_at, before[0].created_at);
}

#[tokio::test]
async fn forgetting_and_weighing_say_whether_there_was_one() {
    let (_dir, store) = open();
    assert!(!store.set_weight(name("api:a"), weight(7)).await.unwrap());
    assert!(!store.forget(name("api:a")).await.unwrap());
    store.remember(name("api:a"), Weight::FULL, Origin::Operator).await.unwrap();
    assert!(store.set_weight(name("api:a"), weight(7)).await.unwrap());
    assert_eq!(known(&store).await, [("api:a".to_owned(), 7, Origin::Operator)]);
    assert!(store.forget(name("api:a")).await.unwrap());
    assert!(known(&store).await.is_empty());
}

#[tokio::test]
async fn tokens_are_found_listed_touched_and_deleted() {
    let (dir, store) = open();
    assert!(store.insert_token(token("aaa")).await.unwrap());
    assert!(store.insert_token(Token { expires_at: None, ..token("bbb") }).await.unwrap());
    let other = Token { name: "other".into(), ..token("aaa") };
    assert!(!store.insert_token(other).await.unwrap(), "the prefix is taken");

    assert!(store.touch_token("aaa".into(), at(1_500)).await.unwrap());
    assert!(!store.touch_token("zzz".into(), at(1_500)).await.unwrap());
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    let touched = Token { last_used: Some(at(1_500)), ..token("aaa") };
    assert_eq!(store.find_token("aaa".into()).await.unwrap(), Some(touched.clone()));
    assert_eq!(store.find_token("zzz".into()).await.unwrap(), None);
    let untouched = Token { expires_at: None, ..token("bbb") };
    assert_eq!(store.tokens().await.unwrap(), [touched, untouched]);

    assert!(store.delete_token("aaa".into()).await.unwrap());
    assert!(!store.delete_token("aaa".into()).await.unwrap());
    assert_eq!(store.find_token("aaa".into()).await.unwrap(), None);
}

#[test]
fn a_hash_is_not_printed() {
    let text = format!("{:?}", token("aaa"));
    assert!(text.contains("aaa") && !text.contains("argon2id"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_at_once_all_get_through() {
    const CALLERS: usize = 2_000;
    let (dir, store) = open();
    let callers: Vec<_> = (0..CALLERS)
        .map(|i| {
            let store = store.clone();
            tokio::spawn(async move {
                let name = name(&format!("api:i{i}"));
                store.remember(name.clone(), Weight::FULL, Origin::Request).await.unwrap();
                assert!(store.set_weight(name, Weight::NONE).await.unwrap());
                store.find_token("reads come between".into()).await.unwrap();
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.all().await.unwrap().len(), CALLERS);
}

#[tokio::test]
async fn a_caller_that_leaves_does_not_undo() {
    let (_dir, store) = open();
    let remember = store.remember(name("api:a"), Weight::FULL, Origin::Operator);
    tokio::select! {
        biased;
        _ = remember => panic!("not in one poll"),
        () = std::future::ready(()) => {}
    }
    assert_eq!(known(&store).await.len(), 1);
}

#[tokio::test]
async fn two_stores_on_one_file_wait_for_each_other() {
    let (dir, one) = open();
    let two = Store::open(dir.path()).unwrap();
    for i in 0..50 {
        let (a, b) = (name(&format!("api:a{i}")), name(&format!("api:b{i}")));
        let (a, b) = tokio::join!(
            one.remember(a, Weight::FULL, Origin::Operator),
            two.remember(b, Weight::FULL, Origin::Operator)
        );
        a.unwrap();
        b.unwrap();
    }
    assert_eq!(known(&one).await.len(), 100);
    assert_eq!(known(&two).await.len(), 100);
}

#[test]
fn many_may_open_a_new_file_at_once() {
    let dir = TempDir::new().unwrap();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| Store::open(dir.path()).unwrap());
        }
    });
}

#[tokio::test]
async fn nobody_else_can_read_it() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join(FILE_NAME), "").unwrap();
    fs::set_permissions(dir.path().join(FILE_NAME), Permissions::from_mode(0o644)).unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.remember(name("api:a"), Weight::FULL, Origin::Operator).await.unwrap();
    let modes: BTreeSet<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|e| (e.file_name().into_string().unwrap(), e.metadata().unwrap().mode() & 0o777))
        .collect();
    let want = ["ten.db", "ten.db-shm", "ten.db-wal"].map(|name| (name.to_owned(), 0o600));
    assert_eq!(modes, want.into());
}

#[test]
fn a_newer_database_is_refused_and_left() {
    let (dir, database) = open_here();
    drop(database);
    let path = dir.path().join(FILE_NAME);
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 999).unwrap();
    let before = fs::read(&path).unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 999, known: 1, .. }), "{error:?}");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn what_is_no_database_is_refused_and_left() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join(FILE_NAME);
    let bytes = "not a database, but someone's letter\n".repeat(200);
    fs::write(&path, &bytes).unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), bytes);
}

#[test]
fn a_damaged_page_is_found_when_opening() {
    let (dir, mut database) = open_here();
    let writes: Vec<_> = (0..500)
        .map(|i| Write::Remember(name(&format!("api:i{i}")), Weight::FULL, Origin::Request))
        .collect();
    database.transact(&writes).unwrap();
    // The last connection to close moves everything from the log into the file.
    drop(database);
    let path = dir.path().join(FILE_NAME);
    let mut bytes = fs::read(&path).unwrap();
    let page = 4096;
    assert!(bytes.len() > 4 * page, "has pages to damage");
    bytes[page..].fill(0xa5);
    fs::write(&path, &bytes).unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
}

#[tokio::test]
async fn a_row_that_means_nothing_is_damage() {
    let (dir, store) = open();
    let db = Connection::open(dir.path().join(FILE_NAME)).unwrap();
    db.execute("INSERT INTO instances VALUES ('api', '../etc', 1, 'operator', 0)", []).unwrap();
    let error = store.all().await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    db.execute("UPDATE instances SET id = 'a', weight = 101", []).unwrap();
    let error = store.all().await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
}

#[test]
fn a_missing_folder_is_named() {
    let error = Store::open(Path::new("/nowhere/at/all")).unwrap_err();
    assert!(error.to_string().contains("/nowhere/at/all/ten.db"), "{error}");
}

/// SQLite itself says "full" here, at a limit of ours instead of the disk's.
#[test]
fn a_full_disk_refuses_writes_and_nothing_else() {
    let (_dir, mut database) = open_here();
    let pages: i64 =
        database.connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    let limit = |db: &Connection, pages: i64| {
        db.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
    };
    limit(&database.connection, pages);

    let huge = Token { name: "x".repeat(20_000), ..token("huge") };
    let small = Write::Remember(name("api:a"), Weight::FULL, Origin::Operator);
    let (small_reply, mut small_answer) = oneshot::channel();
    let (huge_reply, mut huge_answer) = oneshot::channel();
    let mut batch = vec![(small, small_reply), (Write::InsertToken(huge.clone()), huge_reply)];
    database.commit(&mut batch);
    assert!(matches!(small_answer.try_recv(), Ok(Ok(true))), "what fits is written");
    assert!(matches!(huge_answer.try_recv(), Ok(Err(StoreError::Full { .. }))));
    assert_eq!(rows::instances(&database.connection).unwrap().len(), 1);

    limit(&database.connection, 1_000);
    let (reply, mut answer) = oneshot::channel();
    database.commit(&mut vec![(Write::InsertToken(huge), reply)]);
    assert!(matches!(answer.try_recv(), Ok(Ok(true))), "works again once there is room");
}

#[test]
fn its_sqlite_has_no_wal_reset_bug() {
    // Fixed in 3.51.3 (https://www.sqlite.org/wal.html).
    assert!(rusqlite::version_number() >= 3_051_003, "{}", rusqlite::version());
}

#[test]
fn it_is_configured_to_keep_what_it_committed() {
    let (_dir, database) = open_here();
    let db = &database.connection;
    let mode: String = db.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    let sync: i64 = db.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
    assert_eq!((mode.as_str(), sync), ("wal", 2));
}
