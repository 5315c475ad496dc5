//! A client that sends bytes, not requests, and takes down what comes back.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    thread,
    time::Duration,
};

/// All of the bytes in one piece.
pub const WHOLE: usize = usize::MAX;

/// Silence of the server after that. Nothing is that slow.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// All of it.
    pub bytes: Vec<u8>,
    /// Whether the server closed the connection before we did.
    pub closed: bool,
}

/// Sends bytes, in pieces of at most `piece` of them, then reads until the server closes the connection, or has kept silent for so
/// long that it must be waiting for more: it then gets the end of our side instead.
///
/// # Panics
///
/// When the server neither answers nor closes.
pub fn exchange(address: SocketAddr, bytes: &[u8], piece: usize, silence: Duration) -> Answer {
    let stream = TcpStream::connect(address).expect("the server accepts");
    stream.set_nodelay(true).expect("a socket");
    stream.set_read_timeout(Some(silence)).expect("a socket");
    thread::scope(|scope| {
        // The server may refuse before it has read everything.
        scope.spawn(|| bytes.chunks(piece).try_for_each(|piece| (&stream).write_all(piece)));
        let mut answer = Answer { bytes: Vec::new(), closed: true };
        if !read(&stream, &mut answer.bytes) {
            answer.closed = false;
            // Where both sides close at the same time, there is nothing left to shut down.
            let _ = stream.shutdown(Shutdown::Write);
            stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
            let ended = read(&stream, &mut answer.bytes);
            assert!(ended, "no end after {PATIENCE:?}: {}", bytes.escape_ascii());
        }
        answer
    })
}

/// Reads to the end, or until nothing comes any more; which of the two.
fn read(mut stream: &TcpStream, into: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 16 << 10];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(length) => into.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            // A reset is an end too.
            Err(_) => return true,
        }
    }
}

impl Answer {
    /// The body of the first answer, its chunks put together.
    ///
    /// # Panics
    ///
    /// When it is not whole.
    pub fn body(&self) -> Vec<u8> {
        let end = self.bytes.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        let (head, mut rest) = self.bytes.split_at(end.expect("an answer has a head") + 4);
        let head = String::from_utf8_lossy(head).to_ascii_lowercase();
        if !head.contains("transfer-encoding: chunked\r\n") {
            return rest.into();
        }
        let mut body = Vec::new();
        loop {
            let end = rest.windows(2).position(|bytes| bytes == b"\r\n").expect("a size");
            let size = String::from_utf8_lossy(&rest[..end]);
            let size = usize::from_str_radix(&size, 16).expect("a size is a number");
            if size == 0 {
                return body;
            }
            body.extend_from_slice(&rest[end + 2..][..size]);
            rest = &rest[end + 2 + size + 2..];
        }
    }

    /// The status codes in it. Only for answers whose bodies do not hold status lines.
    pub fn statuses(&self) -> Vec<u16> {
        let text = String::from_utf8_lossy(&self.bytes);
        let heads = text.split("HTTP/1.").skip(1).filter_map(|head| head.split_once(' '));
        let heads = heads.map(|(_, rest)| rest);
        heads.filter_map(|head| head.get(..3)?.parse().ok()).collect()
    }
}
