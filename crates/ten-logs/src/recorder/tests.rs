use std::{io::Write, os::fd::AsFd, time::Duration};

use rustix::pipe::{PipeFlags, pipe_with};
use tokio::time::timeout;

use super::*;
use crate::{LINE_BYTES, Query};

/// A pipe whose writer we hold, a recorder at its other end, and what ends the recorder.
struct Recording {
    logs: Logs,
    writer: std::fs::File,
    ended: CancellationToken,
    task: tokio::task::JoinHandle<io::Result<()>>,
}

fn recording() -> Recording {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let (logs, ended) = (Logs::new(), CancellationToken::new());
    let name = "api:a".parse().unwrap();
    let task =
        tokio::spawn(record_stream(logs.clone(), name, Stream::Stdout, reader, ended.clone()));
    Recording { logs, writer: writer.into(), ended, task }
}

impl Recording {
    async fn texts(self) -> Vec<String> {
        timeout(Duration::from_secs(10), self.task).await.expect("ends").unwrap().unwrap();
        self.logs.query(&Query::newest(10_000)).iter().map(|l| l.text.to_string()).collect()
    }
}

#[tokio::test]
async fn records_to_the_end_of_the_pipe() {
    let mut r = recording();
    r.writer.write_all(b"one\ntwo\nand a half").unwrap();
    r.writer = std::fs::File::open("/dev/null").unwrap();
    assert_eq!(r.texts().await, ["one", "two", "and a half"]);
}

#[tokio::test]
async fn records_lines_while_the_pipe_is_open() {
    let mut r = recording();
    let mut follower = r.logs.follow(Query::newest(0));
    for i in 0..3 {
        writeln!(r.writer, "line {i}").unwrap();
        let next = timeout(Duration::from_secs(10), follower.next()).await.expect("comes");
        assert!(matches!(next, crate::Followed::Line(l) if *l.text == *format!("line {i}")));
    }
}

#[tokio::test]
async fn what_is_left_when_the_tree_has_ended_is_drained() {
    let mut r = recording();
    // Two reads' worth, without giving the recorder a chance to see any of it before.
    let long = "x".repeat(READ_BYTES);
    write!(r.writer, "{long}\n{long}\nlast").unwrap();
    r.ended.cancel();
    let open = r.writer.as_fd().try_clone_to_owned().unwrap();
    assert_eq!(r.texts().await, [long.as_str(), &long, "last"]);
    drop(open);
}

#[tokio::test]
async fn a_writer_that_outlives_its_tree_cannot_hold_the_recorder() {
    let r = recording();
    let mut writer = r.writer.try_clone().unwrap();
    let flood = std::thread::spawn(move || while writer.write_all(&[b'x'; 4096]).is_ok() {});
    r.ended.cancel();
    let Recording { task, writer, .. } = r;
    timeout(Duration::from_secs(10), task).await.expect("ends").unwrap().unwrap();
    drop(writer);
    flood.join().unwrap();
}

#[tokio::test]
async fn a_flood_is_recorded_whole() {
    let mut r = recording();
    let mut follower = r.logs.follow(Query::newest(0));
    let writer = std::thread::spawn(move || {
        for i in 0..20_000 {
            writeln!(r.writer, "{i}").unwrap();
        }
        r.writer.write_all(&vec![b'y'; LINE_BYTES + 1]).unwrap();
    });
    let mut seen = 0;
    let last = loop {
        match follower.next().await {
            crate::Followed::Line(line) if line.continued => break line,
            crate::Followed::Line(_) => seen += 1,
            crate::Followed::Missed(count) => seen += count,
        }
    };
    writer.join().unwrap();
    assert_eq!((seen, &*last.text), (20_001, "y"));
    r.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn refuses_what_is_not_a_pipe() {
    let file = std::fs::File::open("/dev/null").unwrap();
    let name = "api:a".parse().unwrap();
    let ended = CancellationToken::new();
    let result = record_stream(Logs::new(), name, Stream::Stderr, file.into(), ended).await;
    assert_eq!(result.unwrap_err().kind(), io::ErrorKind::InvalidInput);
}
