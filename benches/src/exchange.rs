//! One GET on an open connection of any kind, with the moment of the first byte.
//!
//! Bare programs, ten and its admin socket are all asked by this one function, so that no side
//! has the better client.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};

use crate::Failure;

/// How long a peer may keep silent before the run is given up.
const SILENCE: Duration = Duration::from_secs(60);

/// A connection of either kind.
pub(crate) trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// Connects over TCP.
pub(crate) fn tcp(address: SocketAddr) -> io::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE))?;
    Ok(Box::new(stream))
}

/// Connects to a Unix socket.
pub(crate) fn unix(path: &Path) -> io::Result<Box<dyn Stream>> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(SILENCE))?;
    Ok(Box::new(stream))
}

/// A whole answer.
pub(crate) struct Answer {
    /// When its first byte was here.
    pub(crate) first_byte: Instant,
    pub(crate) body: Vec<u8>,
}

/// Sends a request without a body and reads the answer, which must be a 2xx.
pub(crate) fn ask(
    stream: &mut dyn Stream,
    method: &str,
    host: &str,
    path: &str,
) -> Result<Answer, Failure> {
    let request = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n\r\n");
    let answered = exchange(stream, request.as_bytes());
    let (status, answer) =
        answered.map_err(|source| Failure::Unanswered { host: host.into(), source })?;
    if !(200..300).contains(&status) {
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        return Err(Failure::Refused { host: host.into(), status, text });
    }
    Ok(answer)
}

fn exchange(stream: &mut dyn Stream, request: &[u8]) -> io::Result<(u16, Answer)> {
    stream.write_all(request)?;
    let mut bytes = Vec::new();
    read_some(stream, &mut bytes)?;
    let first_byte = Instant::now();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break bytes.drain(..end + 4).collect::<Vec<_>>();
        }
        read_some(stream, &mut bytes)?;
    };
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .and_then(|value| value.trim().parse().ok());
    // Whatever is asked here answers with a length; without one the connection is of no use.
    let (Some(status), Some(length)) = (status, length) else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("its head was {head:?}")));
    };
    while bytes.len() < length {
        read_some(stream, &mut bytes)?;
    }
    Ok((status, Answer { first_byte, body: bytes }))
}

fn read_some(stream: &mut dyn Stream, bytes: &mut Vec<u8>) -> io::Result<()> {
    let mut buffer = [0; 4096];
    match stream.read(&mut buffer)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        read => {
            bytes.extend_from_slice(&buffer[..read]);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_to_its_end_and_a_refusal_says_why() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        assert_eq!(ask(&mut ours, "GET", "x", "/").unwrap().body, b"ok");
        theirs.write_all(b"HTTP/1.1 503 No\r\ncontent-length: 4\r\n\r\nlate").unwrap();
        let refused = ask(&mut ours, "GET", "x", "/").err().unwrap();
        assert_eq!(refused.to_string(), "x answered 503: late");
        drop(theirs);
        assert!(matches!(ask(&mut ours, "GET", "x", "/"), Err(Failure::Unanswered { .. })));
    }
}
