//! A tenant that hands every connection on to an address of the host, byte by byte: where
//! `varnishtest` plays the instance.
//!
//! ```text
//! ten ─▶ PORT ─▶ first byte ─▶ connect to the address given ─▶ both ways until both ends
//! ```
//!
//! It connects with the first byte, not before: ten's look whether it accepts is no connection
//! that a script knows of.

use std::{
    env,
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
};

fn main() -> io::Result<()> {
    let target = env::args().nth(1).ok_or_else(|| io::Error::other("needs an address"))?;
    let port = env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(0);
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    for stream in listener.incoming() {
        let (stream, target) = (stream?, target.clone());
        thread::spawn(move || forward(stream, &target));
    }
    Ok(())
}

fn forward(mut near: TcpStream, target: &str) -> io::Result<()> {
    if near.peek(&mut [0])? == 0 {
        return Ok(());
    }
    let mut far = TcpStream::connect(target)?;
    for stream in [&near, &far] {
        stream.set_nodelay(true)?;
    }
    let (far_reader, near_writer) = (far.try_clone()?, near.try_clone()?);
    thread::spawn(move || copy(far_reader, near_writer));
    copy_all(&mut near, &mut far)
}

fn copy(mut from: TcpStream, mut to: TcpStream) -> io::Result<()> {
    copy_all(&mut from, &mut to)
}

/// Ends `to` where `from` ends.
fn copy_all(from: &mut TcpStream, to: &mut TcpStream) -> io::Result<()> {
    let mut buffer = [0; 16 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(length) if length > 0 => to.write_all(&buffer[..length])?,
            Ok(_) => return to.shutdown(Shutdown::Write),
            Err(_) => return to.shutdown(Shutdown::Both),
        }
    }
}
