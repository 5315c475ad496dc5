//! A raw HTTP/1.1 client: it sends what it is told, in whatever spelling, and tells what came
//! back. No pool, no redirects, no opinion.

use std::{
    fmt,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Barrier,
    thread,
    time::Duration,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How long a peer may keep silent. Longer than any timeout of ten that a test waits for.
const SILENCE: Duration = Duration::from_secs(60);

/// Enough for a request in a thread of its own, so that thousands of them fit.
const STACK_BYTES: usize = 128 * 1024;

/// A request, as it will be sent.
#[derive(Debug, Clone)]
pub struct Request {
    head: String,
    body: Vec<u8>,
    method: String,
}

impl Request {
    /// A request of any method, with its Host.
    pub fn new(method: &str, host: &str, path: &str) -> Self {
        let head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n");
        Self { head, body: Vec::new(), method: method.into() }
    }

    /// GET.
    pub fn get(host: &str, path: &str) -> Self {
        Self::new("GET", host, path)
    }

    /// POST with a body of known length.
    pub fn post(host: &str, path: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::with_body("POST", host, path, body)
    }

    /// A request of any method with a body of known length.
    pub fn with_body(method: &str, host: &str, path: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let mut request = Self::new(method, host, path).header("content-length", body.len());
        request.body = body;
        request
    }

    /// Exactly these bytes, however wrong.
    pub fn raw(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let method = head.split(' ').next().unwrap_or_default().into();
        Self { head: format!("{head}\r\n"), body: body.into(), method }
    }

    /// One header more.
    pub fn header(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.head.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    fn bytes(&self) -> Vec<u8> {
        [self.head.as_bytes(), b"\r\n", &self.body].concat()
    }
}

impl fmt::Display for Request {
    /// Its first line and its host.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.head.lines().take(2).collect::<Vec<_>>().join(", "))
    }
}

/// A response, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Names in lower case, in the order in which they came.
    pub headers: Vec<(String, String)>,
    /// The body, its chunks put together.
    pub body: Vec<u8>,
}

impl Response {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The first header of this name, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// One connection, kept alive as long as both sides like.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE))?;
        stream.set_write_timeout(Some(SILENCE))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Sends a request and reads its response to the end.
    pub fn send(&mut self, request: &Request) -> io::Result<Response> {
        self.write(&request.bytes())?;
        let mut response = self.read_head()?;
        while (100..200).contains(&response.status) && response.status != 101 {
            response = self.read_head()?;
        }
        if request.method != "HEAD" && !matches!(response.status, 101 | 204 | 304) {
            self.read_body(&mut response)?;
        }
        Ok(response)
    }

    /// Sends bytes: a request in pieces, or whatever an upgrade has led to.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Reads the head of a response; its body is still to come.
    pub fn read_head(&mut self) -> io::Result<Response> {
        let status = self.read_line()?;
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| invalid("no status line"))?;
        let mut headers = Vec::new();
        loop {
            let line = self.read_line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Ok(Response { status, headers, body: Vec::new() })
    }

    /// Reads exactly so many bytes, past any head.
    pub fn read_exact(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads a line without its end, past any head: an event of a stream, the size of a chunk.
    pub fn read_line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        if self.stream.read_until(b'\n', &mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let text = String::from_utf8_lossy(&line);
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    }

    fn read_body(&mut self, response: &mut Response) -> io::Result<()> {
        if response.header("transfer-encoding").is_some() {
            loop {
                let size = self.read_line()?;
                let size = usize::from_str_radix(size.trim(), 16)
                    .map_err(|_| invalid("a chunk without a size"))?;
                response.body.extend(self.read_exact(size)?);
                self.read_line()?;
                if size == 0 {
                    return Ok(());
                }
            }
        }
        match response.header("content-length").map(str::parse) {
            Some(Ok(length)) => response.body = self.read_exact(length)?,
            Some(Err(_)) => return Err(invalid("content-length is not a number")),
            None => drop(self.stream.read_to_end(&mut response.body)?),
        }
        Ok(())
    }
}

/// A request on a connection of its own.
pub fn send(address: SocketAddr, request: &Request) -> io::Result<Response> {
    Connection::open(address)?.send(request)
}

/// Sends `n` requests at the same moment, each on a connection of its own: none is sent
/// before all have connected.
pub fn burst(
    address: SocketAddr,
    n: usize,
    request: impl Fn(usize) -> Request + Sync,
) -> Vec<io::Result<Response>> {
    allow_many_files();
    let (all_connected, request) = (Barrier::new(n), &request);
    let one = |i: usize| {
        let connection = Connection::open(address);
        all_connected.wait();
        connection?.send(&request(i))
    };
    thread::scope(|scope| {
        let one = &one;
        let spawn = |i| {
            let builder = thread::Builder::new().stack_size(STACK_BYTES);
            builder.spawn_scoped(scope, move || one(i)).expect("a thread for each request")
        };
        let threads: Vec<_> = (0..n).map(spawn).collect();
        threads.into_iter().map(|thread| thread.join().expect("a request")).collect()
    })
}

/// Has this process open as many files as it may: a shell's usual limit of 1,024 would be the
/// client's limit, not the server's. Where it is refused, what then fails says so.
pub fn allow_many_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
