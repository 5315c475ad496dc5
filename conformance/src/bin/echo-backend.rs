//! A tenant that writes down every byte of every connection, answers what a strict parser
//! takes for a request with that request's head, and closes at the first fault.
//!
//! The record is `DATA_DIR/connections/N`. One thread serves all connections in rounds: first
//! whatever has come on any of them is written down, then what is whole is answered. So with an
//! answer everything that was sent before its request, on any connection, is in the record.

use std::{
    env,
    fs::{self, File},
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
};

use rustix::event::{PollFd, PollFlags, poll};
use ten_conformance::strict::{self, Request, Rest};

struct Connection {
    stream: TcpStream,
    record: File,
    /// What is not answered yet.
    bytes: Vec<u8>,
    open: bool,
}

fn main() -> io::Result<()> {
    let folder = env::var("DATA_DIR").map_err(io::Error::other)? + "/connections";
    let folder = PathBuf::from(folder);
    let port = env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(0);
    fs::create_dir_all(&folder)?;
    let mut number = fs::read_dir(&folder)?.count();
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    listener.set_nonblocking(true)?;
    let mut connections: Vec<Connection> = Vec::new();
    loop {
        wait(&listener, &connections)?;
        while let Ok((stream, _)) = listener.accept() {
            connections.push(Connection::new(stream, &folder, number)?);
            number += 1;
        }
        for connection in &mut connections {
            connection.open = connection.take_down().unwrap_or(false);
        }
        for connection in &mut connections {
            // Whoever closes while we write has had enough.
            connection.open &= connection.answer().unwrap_or(false);
        }
        connections.retain(|connection| connection.open);
    }
}

fn wait(listener: &TcpListener, connections: &[Connection]) -> io::Result<()> {
    let streams = connections.iter().map(|c| PollFd::new(&c.stream, PollFlags::IN));
    let mut ready: Vec<_> = streams.collect();
    ready.push(PollFd::new(listener, PollFlags::IN));
    poll(&mut ready, None)?;
    Ok(())
}

impl Connection {
    fn new(stream: TcpStream, folder: &Path, number: usize) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let record = File::create(folder.join(number.to_string()))?;
        Ok(Self { stream, record, bytes: Vec::new(), open: true })
    }

    /// Reads and records what has come; whether there may be more.
    fn take_down(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 64 << 10];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Ok(false),
                Ok(length) => {
                    self.record.write_all(&buffer[..length])?;
                    self.bytes.extend_from_slice(&buffer[..length]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            }
        }
    }

    /// Answers what is whole; whether more may follow.
    fn answer(&mut self) -> io::Result<bool> {
        let (requests, rest) = strict::requests(&self.bytes);
        self.stream.set_nonblocking(false)?;
        for request in &requests {
            self.stream.write_all(&answer(request))?;
        }
        match rest {
            Rest::Nothing => self.bytes.clear(),
            Rest::Part(length) => drop(self.bytes.drain(..self.bytes.len() - length)),
            Rest::Fault(what) => {
                eprintln!("echo-backend: {what}: {}", self.bytes.escape_ascii());
                let length = what.len();
                let head = format!("HTTP/1.1 400 Fault\r\ncontent-length: {length}\r\n");
                write!(self.stream, "{head}connection: close\r\n\r\n{what}")?;
                return Ok(false);
            }
        }
        self.stream.set_nonblocking(true)?;
        Ok(true)
    }
}

fn answer(request: &Request) -> Vec<u8> {
    let length = request.head.len();
    let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").into_bytes();
    if request.method != "HEAD" {
        answer.extend_from_slice(&request.head);
    }
    answer
}
