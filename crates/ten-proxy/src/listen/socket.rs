//! The client's socket: counts nothing, copies nothing; it knows how long to wait for a
//! request and how to close without losing the answer.
//!
//! **Patience.** hyper has one timeout for the head of a request, which starts when the
//! connection begins to wait for it. A connection kept alive may be silent for longer than a
//! head may take, so the timer given to hyper tells the two apart:
//!
//! ```text
//! accepted ──────HEAD_TIMEOUT──────▶ closed     (silent or slow, it is the first head)
//! idle ──IDLE_TIMEOUT──▶ closed
//!   └─first byte──▶ head ──HEAD_TIMEOUT──▶ closed
//! ```
//!
//! **Lingering close.** Closing a socket with unread bytes makes the kernel send RST, which
//! can destroy an answer that the client has not read yet (RFC 9112, section 9.6). So after
//! the end of the writing side, what the client still sends is thrown away for a while.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use hyper::rt::Timer;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Sleep,
};

use super::{HEAD_TIMEOUT, IDLE_TIMEOUT};

/// Longest time for which a closing connection reads on.
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);
/// Most bytes that a closing connection reads and throws away.
const LINGER_BYTES: usize = 1 << 20;

/// What is known of one connection's course, shared by its socket, its timer and its requests.
#[derive(Debug, Default)]
pub(crate) struct Course {
    /// A request head was read, so the next wait is a keep-alive wait.
    asked: AtomicBool,
    /// Bytes came since the wait for a head began.
    heard: AtomicBool,
    /// The connection carries a tunnel now: its ends close independently, nothing lingers.
    tunnel: AtomicBool,
}

impl Course {
    /// A whole request head was read.
    pub(crate) fn asked(&self) {
        self.asked.store(true, Relaxed);
    }

    /// From now on the connection carries another protocol.
    pub(crate) fn becomes_tunnel(&self) {
        self.tunnel.store(true, Relaxed);
    }
}

/// A client's connection.
#[derive(Debug)]
pub(crate) struct ClientSocket {
    stream: TcpStream,
    course: Arc<Course>,
    linger: Option<Linger>,
}

#[derive(Debug)]
struct Linger {
    left: usize,
    end: Pin<Box<Sleep>>,
}

impl ClientSocket {
    pub(crate) fn new(stream: TcpStream, course: Arc<Course>) -> Self {
        Self { stream, course, linger: None }
    }
}

impl AsyncRead for ClientSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        self.course.heard.store(true, Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            if this.course.tunnel.load(Relaxed) {
                return Poll::Ready(Ok(()));
            }
        }
        let linger = this.linger.get_or_insert_with(|| Linger {
            left: LINGER_BYTES,
            end: Box::pin(tokio::time::sleep(LINGER_TIMEOUT)),
        });
        let mut waste = [0; 8 << 10];
        while linger.left > 0 && linger.end.as_mut().poll(cx).is_pending() {
            let mut waste = ReadBuf::new(&mut waste);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut waste))?;
            match waste.filled().len() {
                0 => break,
                n => linger.left = linger.left.saturating_sub(n),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// The timer that hyper waits for request heads with.
pub(crate) struct HeadTimer(pub(crate) Arc<Course>);

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.0.heard.store(false, Relaxed);
        let idle = self.0.asked.load(Relaxed);
        let end = if idle { self.now() + IDLE_TIMEOUT } else { deadline };
        let sleep = Box::pin(tokio::time::sleep_until(end.into()));
        Box::pin(HeadWait { course: Arc::clone(&self.0), idle, sleep })
    }

    fn now(&self) -> Instant {
        // Of tokio's clock, which tests can pause.
        tokio::time::Instant::now().into()
    }
}

/// One wait for a head. hyper polls it again after each arrival of bytes.
struct HeadWait {
    course: Arc<Course>,
    idle: bool,
    sleep: Pin<Box<Sleep>>,
}

impl Future for HeadWait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.idle && self.course.heard.load(Relaxed) {
            self.idle = false;
            self.sleep.as_mut().reset(tokio::time::Instant::now() + HEAD_TIMEOUT);
        }
        self.sleep.as_mut().poll(cx)
    }
}

impl hyper::rt::Sleep for HeadWait {}
