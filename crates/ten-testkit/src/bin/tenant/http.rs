//! As much of an HTTP/1.1 server as a test needs: keep-alive, bodies of known length and in
//! chunks, `Expect: 100-continue`, answers whole, in chunks, or raw after an upgrade.

use std::io::{self, BufRead, BufReader, Read, Write};

/// A connection of either kind.
pub(crate) trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// One request and the way to answer it.
pub(crate) struct Exchange {
    stream: BufReader<Box<dyn Stream>>,
    pub(crate) method: String,
    pub(crate) path: String,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    body_read: bool,
    keep_alive: bool,
}

/// Serves one connection to its end.
pub(crate) fn serve(
    stream: Box<dyn Stream>,
    mut answer: impl FnMut(&mut Exchange) -> io::Result<()>,
) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let Some(mut exchange) = Exchange::read(stream)? else { return Ok(()) };
        answer(&mut exchange)?;
        if !exchange.keep_alive {
            return Ok(());
        }
        exchange.read_body(|_| {})?;
        stream = exchange.stream;
    }
}

impl Exchange {
    fn read(mut stream: BufReader<Box<dyn Stream>>) -> io::Result<Option<Self>> {
        let first = read_line(&mut stream)?;
        let mut words = first.split(' ');
        let (Some(method), Some(target)) = (words.next(), words.next()) else { return Ok(None) };
        let mut headers = Vec::new();
        loop {
            let line = read_line(&mut stream)?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query = query.split('&').filter_map(|pair| pair.split_once('='));
        let mut exchange = Self {
            stream,
            method: method.into(),
            path: path.into(),
            query: query.map(|(name, value)| (name.into(), percent_decoded(value))).collect(),
            headers,
            body_read: false,
            keep_alive: false,
        };
        exchange.keep_alive = exchange.header("connection") != Some("close");
        Ok(Some(exchange))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// A numeric parameter, or its default.
    pub(crate) fn number(&self, name: &str, default: u64) -> u64 {
        self.parameter(name).and_then(|value| value.parse().ok()).unwrap_or(default)
    }

    /// Reads the body, unless that has been done.
    pub(crate) fn read_body(&mut self, mut give: impl FnMut(&[u8])) -> io::Result<()> {
        if std::mem::replace(&mut self.body_read, true) {
            return Ok(());
        }
        if self.header("expect") == Some("100-continue") {
            self.raw().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        if self.header("transfer-encoding").is_none() {
            let length = self.header("content-length").and_then(|v| v.parse().ok()).unwrap_or(0);
            return self.read_bytes(length, &mut give);
        }
        loop {
            let size = read_line(&mut self.stream)?;
            let size = size.split(';').next().unwrap_or_default();
            let size = u64::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
            self.read_bytes(size, &mut give)?;
            if size == 0 {
                while !read_line(&mut self.stream)?.is_empty() {}
                return Ok(());
            }
            read_line(&mut self.stream)?;
        }
    }

    fn read_bytes(&mut self, mut left: u64, give: &mut impl FnMut(&[u8])) -> io::Result<()> {
        while left > 0 {
            let bytes = self.stream.fill_buf()?;
            if bytes.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let len = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            give(&bytes[..len]);
            self.stream.consume(len);
            left -= len as u64;
        }
        Ok(())
    }

    /// Answers with a text.
    pub(crate) fn reply(&mut self, status: u64, text: &str) -> io::Result<()> {
        let length = text.len();
        let head = format!("HTTP/1.1 {status} Told\r\ncontent-length: {length}\r\n\r\n");
        let body = if self.method == "HEAD" { "" } else { text };
        self.raw().write_all([head.as_str(), body].concat().as_bytes())?;
        self.raw().flush()
    }

    /// Starts an answer in chunks.
    pub(crate) fn start_chunks(&mut self, content_type: &str) -> io::Result<()> {
        write!(
            self.raw(),
            "HTTP/1.1 200 Told\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n"
        )?;
        self.raw().flush()
    }

    /// Sends one chunk at once; an empty one ends the answer.
    pub(crate) fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
        chunk.extend_from_slice(bytes);
        chunk.extend_from_slice(b"\r\n");
        self.raw().write_all(&chunk)?;
        self.raw().flush()
    }

    /// Changes the protocol, then sends back whatever comes.
    pub(crate) fn echo(&mut self, protocol: &str) -> io::Result<()> {
        self.keep_alive = false;
        write!(
            self.raw(),
            "HTTP/1.1 101 Told\r\nconnection: upgrade\r\nupgrade: {protocol}\r\n\r\n"
        )?;
        loop {
            let bytes = self.stream.fill_buf()?.to_vec();
            if bytes.is_empty() {
                return Ok(());
            }
            self.stream.consume(bytes.len());
            self.raw().write_all(&bytes)?;
            self.raw().flush()?;
        }
    }

    fn raw(&mut self) -> &mut Box<dyn Stream> {
        self.stream.get_mut()
    }
}

/// A line without its end; empty at the end of the stream.
fn read_line(stream: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    line.truncate(line.trim_end_matches(['\r', '\n']).len());
    Ok(line)
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let hex = |digit: Option<u8>| digit.and_then(|d| char::from(d).to_digit(16));
        match byte {
            b'%' => match (hex(rest.next()), hex(rest.next())) {
                (Some(high), Some(low)) => bytes.push((high * 16 + low) as u8),
                _ => bytes.push(b'%'),
            },
            b'+' => bytes.push(b' '),
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
