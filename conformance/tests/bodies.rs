//! Bodies far larger than any memory they may cost (SPEC 8): a gigabyte up, into an instance that
//! sleeps, and another one down, over both versions of HTTP. The client is curl.
//!
//! ```text
//! this test ─stdin─▶ curl ─▶ ten serve ─▶ tenant: length and checksum
//!     all x? ◀─stdout─┘◀─────────┘◀────────┘
//! ```
//!
//! No byte of them is on a disk, and none is kept by anybody.

use std::{
    io::{self, Read, Write},
    process::{Child, Command, Stdio},
    thread::{self, JoinHandle},
};

use ten_conformance::{memory, service};
use ten_testkit::{Builder, Checksum, Ten, tenant_binary};

const HOST: &str = "a.large.localhost";
/// Each way.
const LENGTH: usize = 1 << 30;
/// What is written, read and made at a time.
const PIECE: usize = 1 << 16;
/// Memory that the front may grow by: a 64th of a body.
const MOST_GROWTH_KIB: u64 = 16 << 10;
/// Seconds after which curl gives up.
const PATIENCE: &str = "60";

/// A sleeping instance that takes a while to wake: all of that time an upload waits for it.
fn start() -> Builder {
    let command = format!("{} --startup-delay-ms 500", tenant_binary().display());
    Ten::with_config(&service("large", &command, ""))
}

fn curl(ten: &Ten, version: &str, path: &str) -> Command {
    let mut command = Command::new("curl");
    // Nobody's settings, and no proxy on the way.
    command.args(["--disable", "--noproxy", "*", "--silent", "--show-error", "--fail"]);
    command.args([version, "--max-time", PATIENCE]);
    if ten.certificate().exists() {
        command.arg("--cacert").arg(ten.certificate());
    }
    command.arg("--resolve").arg(format!("{HOST}:{}:127.0.0.1", ten.address().port()));
    command.arg(ten.url(HOST, path)).stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

fn run(mut command: Command) -> Child {
    command.spawn().expect("curl is installed: cargo xtask test sees to it")
}

/// A client that sends `LENGTH` bytes of which no two pieces are the same, and their sum in the end.
fn sending(ten: &Ten, version: &str) -> (Child, JoinHandle<io::Result<Checksum>>) {
    let mut command = curl(ten, version, "/body");
    command.args(["--request", "POST", "--upload-file", "-"]).stdin(Stdio::piped());
    let mut client = run(command);
    let mut body = client.stdin.take().expect("piped");
    let writing = thread::spawn(move || {
        let (mut sum, mut piece) = (Checksum::default(), vec![b'x'; PIECE]);
        for number in 0..LENGTH / PIECE {
            piece[..8].copy_from_slice(&number.to_be_bytes());
            body.write_all(&piece)?;
            sum.add(&piece);
        }
        Ok(sum)
    });
    (client, writing)
}

/// The sum of what was sent, and what was answered.
fn upload(ten: &Ten, version: &str) -> (Checksum, String) {
    let (client, writing) = sending(ten, version);
    let done = client.wait_with_output().expect("curl runs");
    assert!(done.status.success(), "{version}: {}", done.status);
    let sum = writing.join().expect("no panic").expect("curl takes all of it");
    (sum, String::from_utf8_lossy(&done.stdout).into_owned())
}

/// The sum of what was sent, and that of what came back.
fn back(ten: &Ten, version: &str) -> (Checksum, Checksum) {
    let (mut client, writing) = sending(ten, version);
    let mut answer = client.stdout.take().expect("piped");
    let (mut sum, mut piece) = (Checksum::default(), [0; PIECE]);
    loop {
        match answer.read(&mut piece).expect("curl's output") {
            0 => break,
            got => sum.add(&piece[..got]),
        }
    }
    let status = client.wait().expect("curl runs");
    assert!(status.success(), "{version}: {status}");
    (writing.join().expect("no panic").expect("curl takes all of it"), sum)
}

/// Reads an answer of as many bytes, each of which is to be an `x`; how many came.
fn download(ten: &Ten, version: &str) -> usize {
    let path = format!("/stream?chunks={}&bytes={PIECE}", LENGTH / PIECE);
    let mut client = run(curl(ten, version, &path));
    let mut body = client.stdout.take().expect("piped");
    let (expected, mut piece, mut length) = ([b'x'; PIECE], [0; PIECE], 0);
    loop {
        let got = body.read(&mut piece).expect("curl's output");
        if got == 0 {
            break;
        }
        assert!(piece[..got] == expected[..got], "{version}: other bytes behind {length}");
        length += got;
    }
    let status = client.wait().expect("curl runs");
    assert!(status.success(), "{version}: {status}");
    length
}

/// What the largest body cost so far, in KiB.
fn growth(ten: &Ten, before: u64) -> u64 {
    memory::peak_kib(ten).saturating_sub(before)
}

fn pass(ten: Builder, version: &str) {
    let ten = ten.start();
    let before = memory::resident_kib(&ten);
    assert_eq!(ten.processes_of("large:a"), [], "it sleeps");
    let (sent, received) = upload(&ten, version);
    assert_eq!(received, sent.to_string(), "{version}");
    let up = growth(&ten, before);
    assert_eq!(download(&ten, version), LENGTH, "{version}");
    let down = growth(&ten, before);
    println!("{version}: {before} KiB before, {up} more after the upload, {down} in the end");
    assert!(down < MOST_GROWTH_KIB, "{version}: {up} KiB more by the upload, {down} in the end");
}

/// nghttp2's server gives back what it was sent.
#[test]
fn a_gigabyte_to_an_h2c_instance_and_back() {
    let command = "/usr/sbin/nghttpd --no-tls --echo-upload --address 127.0.0.1 {port}";
    let ten = Ten::with_config(&service("large", command, "protocol = \"h2c\"\nlisten = \"port\""));
    let ten = ten.start();
    let before = memory::resident_kib(&ten);
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let (sent, came) = back(&ten, version);
        assert_eq!(came, sent, "{version}");
        let more = growth(&ten, before);
        println!("{version}: {before} KiB before, {more} more");
        assert!(more < MOST_GROWTH_KIB, "{version}: {more} KiB more");
    }
}

#[test]
fn a_gigabyte_each_way_over_http_1() {
    pass(start(), "--http1.1");
}

#[test]
fn a_gigabyte_each_way_over_http_2() {
    pass(start(), "--http2-prior-knowledge");
}

#[test]
fn a_gigabyte_each_way_over_tls() {
    for version in ["--http1.1", "--http2"] {
        pass(start().https(&[HOST]), version);
    }
}
