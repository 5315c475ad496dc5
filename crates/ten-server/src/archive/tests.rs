use std::{fs, path::Path, time::Duration};

use http_body_util::BodyExt as _;
use ten_warden::{FrontCommand, Keeper, Keeping, Planner};
use tokio::time::timeout;

use super::*;

/// What a client gets of an archiver that writes this and then ends so.
async fn packed(
    written: &'static [u8],
    end: Result<Vec<String>, String>,
    trailers: bool,
) -> Result<Body, String> {
    let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    // Both fit into the pipe.
    rustix::io::write(&theirs, written).unwrap();
    drop(theirs);
    let place = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
    let packing = Packing {
        name: "api:prod".parse().unwrap(),
        archive: pipe::Receiver::from_owned_fd(ours).unwrap(),
        ended: tokio::spawn(async { Ok(end) }),
        trailers,
        _cancel: Unwanted(None),
        _place: place,
    };
    packing.into_body().await.unwrap()
}

#[tokio::test]
async fn a_backup_that_cannot_begin_says_why_in_place_of_an_answer() {
    let nothing = packed(b"", Err("no such\nfolder".into()), true).await;
    assert_eq!(nothing.map(drop), Err("no such\nfolder".into()));
}

#[tokio::test]
async fn a_backup_that_breaks_off_says_why_at_its_end() {
    let whole = packed(b"all", Ok(vec!["left out".into()]), true).await.unwrap();
    let whole = whole.collect().await.unwrap();
    assert_eq!(whole.trailers(), None);
    assert_eq!(whole.to_bytes().as_ref(), b"all");
    let half = packed(b"half", Err("it ended\nwith ü".into()), true).await.unwrap();
    let half = half.collect().await.unwrap();
    let why = half.trailers().and_then(|trailers| trailers.get(BACKUP_FAILURE)).unwrap();
    assert_eq!(why.as_bytes(), "it ended with ü".as_bytes());
    assert_eq!(half.to_bytes().as_ref(), b"half");
    // To whom no trailer can be sent, half of it must not look like a whole one.
    let half = packed(b"half", Err("it ended".into()), false).await.unwrap();
    assert!(half.collect().await.is_err());
}

#[derive(Debug)]
struct NoPlanner;

impl Planner for NoPlanner {
    fn plan(&self, _: &[u8]) -> Result<ten_warden::Planned, String> {
        Err("nothing starts here".into())
    }

    fn why_not(&self, _: &[u8], _: &str) -> Option<String> {
        None
    }
}

/// Who leaves frees its place for others, even of an archiver that waits for something for ever.
#[tokio::test]
async fn a_client_that_leaves_takes_its_archiver_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let said = folder.path().join("pid");
    let script = format!("echo $$ > {0}.draft; mv {0}.draft {0}; exec sleep 1000", said.display());
    let keeping = Keeping {
        data_dir: folder.path().into(),
        scratch: folder.path().into(),
        planner: Arc::new(NoPlanner),
        archiver: FrontCommand {
            program: "/bin/sh".into(),
            argv: vec!["sh".into(), "-c".into(), script],
        },
    };
    let keeper = Keeper::in_thread(&keeping).unwrap();
    let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let pending = keeper.pack(".images/api:prod".into(), vec![], &theirs).unwrap();
    drop(theirs);
    let place = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
    let packing = Packing {
        name: "api:prod".parse().unwrap(),
        archive: pipe::Receiver::from_owned_fd(ours).unwrap(),
        _cancel: Unwanted(Some(pending.cancel().unwrap())),
        ended: tokio::task::spawn_blocking(move || pending.wait()),
        trailers: true,
        _place: place,
    };
    let body = tokio::spawn(packing.into_body());
    let until = async |condition: &dyn Fn() -> bool| {
        let soon = timeout(Duration::from_secs(10), async {
            while !condition() {
                tokio::task::yield_now().await;
            }
        });
        soon.await.expect("in time");
    };
    until(&|| said.exists()).await;
    let process = Path::new("/proc").join(fs::read_to_string(&said).unwrap().trim());
    assert!(process.exists());
    body.abort();
    until(&|| !process.exists()).await;
}
