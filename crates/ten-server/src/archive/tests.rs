use http_body_util::BodyExt as _;

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
