//! HTTP/1.1: a connection carries one request at a time and is idle between two.
//!
//! ```text
//!            open                        send
//! (nothing) ─────▶ Connection in use ◀──────────── idle (last in, first out)
//!                    │     └─ request sent, answer read, to their ends ──▶ idle
//!                    └─ anything else ──▶ dropped, closed
//! ```
//!
//! A connection has no task: whoever waits for its answer reads it. Dropped in the middle of an
//! exchange, it is closed at once, so that no way out of one leaves anything behind: half an
//! answer that the next client would get, or an upload that goes on after the instance's use has
//! ended.
//!
//! An idle connection is closed soon, before most servers do that themselves: a request could cross
//! the end. Besides, some servers have a thread or a process for each connection, which waits in it
//! for the next request. So to a process that gets so many requests at a time and no more there are
//! never more connections than that, whichever worker has them; and a request that waits for long
//! on a new connection closes the idle ones.

use std::{
    fmt,
    future::poll_fn,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{runtime::Handle, time::sleep};

use super::{Answered, Broken, SendError};
use crate::{
    Lease,
    body::{Broke, Form, Outgoing, Source},
    buffer::Buffer,
    check::BadResponse,
    connect,
    files::{self, Files, Keeper},
    forward::Message,
    framing::{Framing, Next},
    head::{Response, ResponseScan},
    interim::Interims,
    upload::{Upload, UploadError},
    wire::Socket,
};

/// Most idle connections that a worker keeps per process of an instance. As many as there can
/// be requests at once under heavy load, so that a busy instance is not reconnected to.
const MAX_IDLE: usize = 512;

/// An idle connection is closed when it was not used for this time, or up to twice as long: before
/// servers close theirs (Node and uvicorn after 5 s), and not sooner, because those that are opened
/// all at once are more than the backlog of some servers holds.
const UNUSED_FOR: Duration = Duration::from_secs(2);

/// A worker's idle connections to one process.
#[derive(Clone)]
pub(crate) struct Pool {
    worker: usize,
    all: Arc<All>,
}

/// Those of all workers.
struct All {
    /// Each is used by its own worker, and may be emptied by others.
    idle: Box<[Mutex<Idle>]>,
    /// Connections in all, tunnels apart.
    open: Arc<AtomicU32>,
    files: Arc<Files>,
}

impl Keeper for All {
    fn close_idle(&self) -> usize {
        self.idle.iter().map(|idle| lock(idle).clear()).sum()
    }
}

impl fmt::Debug for All {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("All").finish_non_exhaustive()
    }
}

/// Those of one worker, the last used last.
#[derive(Default)]
struct Idle {
    connections: Vec<Connection>,
    /// So many, the first, were not used since somebody last looked.
    unused: usize,
    /// Somebody looks, again and again.
    watched: bool,
    /// How often one was given back.
    returns: u64,
}

impl Idle {
    fn pop(&mut self) -> Option<Connection> {
        let connection = self.connections.pop();
        self.unused = self.unused.min(self.connections.len());
        connection
    }

    /// Closes all; how many.
    fn clear(&mut self) -> usize {
        self.unused = 0;
        self.connections.drain(..).len()
    }

    /// Closes what was not used since it was last asked this. Whether anything is left.
    fn close_unused(&mut self) -> bool {
        self.connections.drain(..self.unused);
        self.unused = self.connections.len();
        self.watched = self.unused > 0;
        self.watched
    }
}

/// Looks after the idle connections of one worker for as long as there are any.
async fn look_after(all: Weak<All>, worker: usize) {
    loop {
        sleep(UNUSED_FOR).await;
        let all = all.upgrade();
        let idle = all.as_ref().and_then(|all| all.idle.get(worker));
        if !idle.is_some_and(|idle| lock(idle).close_unused()) {
            return;
        }
    }
}

fn lock(idle: &Mutex<Idle>) -> MutexGuard<'_, Idle> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection, in use or idle.
pub(crate) struct Connection {
    wire: Socket,
    _of_process: Counted,
    _of_all: files::Counted,
}

/// One of all to its process that are open. It holds none of the others: they are to end with their process.
struct Counted(Arc<AtomicU32>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Pool {
    /// One for each worker.
    pub(super) fn for_all(
        workers: usize,
        files: &Arc<Files>,
    ) -> impl Iterator<Item = Self> + use<> {
        let Self { all, .. } = Self::with(workers, files);
        let keeper: Weak<All> = Arc::downgrade(&all);
        files.kept_by(keeper);
        (0..workers).map(move |worker| Self { worker, all: Arc::clone(&all) })
    }

    /// One that keeps none.
    pub(super) fn none(files: &Arc<Files>) -> Self {
        Self::with(0, files)
    }

    fn with(workers: usize, files: &Arc<Files>) -> Self {
        let idle = (0..workers).map(|_| Mutex::default()).collect();
        let all = Arc::new(All { idle, open: Arc::default(), files: Arc::clone(files) });
        Self { worker: 0, all }
    }

    /// The connection that was used last and still works.
    pub(super) fn take(&self) -> Option<Connection> {
        let mut idle = self.own()?;
        std::iter::from_fn(|| idle.pop()).find(|idle| idle.wire.is_quiet())
    }

    /// Connects anew.
    pub(super) async fn open(&self, lease: &impl Lease) -> io::Result<Connection> {
        let others = self.all.open.fetch_add(1, Relaxed);
        let counted = Counted(Arc::clone(&self.all.open));
        if others >= lease.max_requests() {
            // Each that is in use has a request: where they are too many, one is idle.
            self.close_one();
        }
        let files = &self.all.files;
        let of_all = files.count();
        let wire = connect::connect(lease, files).await?;
        Ok(Connection { wire, _of_process: counted, _of_all: of_all })
    }

    fn own(&self) -> Option<MutexGuard<'_, Idle>> {
        self.all.idle.get(self.worker).map(lock)
    }

    /// Closes an idle connection.
    fn close_one(&self) {
        for idle in &self.all.idle {
            if lock(idle).pop().is_some() {
                return;
            }
        }
    }

    /// Has the worker's idle connections looked after; whether somebody can.
    fn watch(&self) -> bool {
        let looking = look_after(Arc::downgrade(&self.all), self.worker);
        Handle::try_current().map(|runtime| runtime.spawn(looking)).is_ok()
    }

    /// How often a connection was given back, on whichever worker.
    pub(super) fn returns(&self) -> u64 {
        self.all.idle.iter().map(|idle| lock(idle).returns).sum()
    }

    /// Closes all idle connections.
    pub(super) fn close_idle(&self) {
        self.all.close_idle();
    }

    /// Takes the connection of an answer back, if that was read to its end and nothing came
    /// behind it.
    pub(super) fn take_back(&self, answer: Answer) {
        let Answer { connection, buffer, framing, lasts } = answer;
        if lasts
            && framing.has_ended()
            && buffer.is_empty()
            && let Some(mut idle) = self.own()
            && idle.connections.len() < MAX_IDLE
            && (idle.watched || self.watch())
        {
            idle.connections.push(connection);
            idle.watched = true;
            idle.returns += 1;
        }
    }

    #[cfg(test)]
    pub(super) fn idle(&self) -> usize {
        self.own().map_or(0, |idle| idle.connections.len())
    }
}

impl Connection {
    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(
        self,
        message: &Message<'_>,
        upload: Upload,
    ) -> Result<Answered<Answer, Uploading>, SendError> {
        let wire = &self.wire;
        let (head, form) = message.to_http1(!upload.is_empty());
        let mut uploading = Uploading::new(wire.clone(), head, form, upload);
        let mut incoming = Incoming { wire, buffer: Buffer::default(), scan: Default::default() };
        let mut sent = false;
        let mut broke: Option<io::Error> = None;
        let head = poll_fn(|cx| {
            // First of all the answer: if it is there, the rest of the request is not waited for.
            if !sent
                && uploading.outgoing.has_begun()
                && let Poll::Ready(head) = incoming.poll_head(message.interims, cx)
            {
                return Poll::Ready(head);
            }
            if !sent && broke.is_none() {
                match uploading.poll(cx) {
                    Poll::Ready(Ok(())) => sent = true,
                    Poll::Ready(Err(Broke::Source(error))) => {
                        return Poll::Ready(Err(Broken::Upload(error)));
                    }
                    // Whatever it said before it closed, that is no answer to this.
                    Poll::Ready(Err(Broke::Sink(error))) if !uploading.outgoing.has_begun() => {
                        return Poll::Ready(Err(error.into()));
                    }
                    // It may have answered before it closed. Its client is waited for no more.
                    Poll::Ready(Err(Broke::Sink(error))) => {
                        uploading.upload = Upload::Empty;
                        broke = Some(error);
                    }
                    Poll::Pending => {}
                }
            }
            incoming.poll_head(message.interims, cx)
        });
        let head = match head.await {
            Ok(head) => head,
            Err(broken) if uploading.outgoing.has_begun() => {
                // The first that went wrong says most.
                return Err(SendError::Lost(broke.map_or(broken, Broken::Io)));
            }
            Err(broken @ (Broken::Upload(_) | Broken::Answer(_))) => {
                return Err(SendError::Lost(broken));
            }
            Err(broken) => return Err(SendError::Unsent(broken, uploading.upload)),
        };
        let framing = head.framing(message.request.is_head());
        let lasts = head.keeps_alive() && head.status != 101;
        let buffer = incoming.buffer;
        let answer = Answer { connection: self, buffer, framing, lasts };
        let uploading = (!sent).then_some(uploading);
        Ok(Answered { head, answer, uploading })
    }
}

/// A request that is being sent.
pub(crate) struct Uploading {
    wire: Socket,
    outgoing: Outgoing,
    upload: Upload,
}

impl Uploading {
    fn new(wire: Socket, head: Vec<u8>, form: Form, upload: Upload) -> Self {
        Self { wire, outgoing: Outgoing::revocable(head, form), upload }
    }

    /// Says that no more comes, though more was announced.
    pub(super) fn end(self) -> io::Result<()> {
        self.wire.end_writing()
    }

    /// Ready when all of it was sent.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broke<UploadError>>> {
        self.outgoing.poll(cx, &mut self.upload, &mut &self.wire)
    }
}

/// An answer whose head has not come.
struct Incoming<'a> {
    wire: &'a Socket,
    buffer: Buffer,
    scan: ResponseScan,
}

impl Incoming<'_> {
    /// The head of the answer itself, and of those ahead of it.
    fn poll_head(
        &mut self,
        interims: &Interims,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response, Broken>> {
        loop {
            while !self.buffer.is_empty() {
                let Some(end) = self.scan.scan(&self.buffer)? else { break };
                let head = self.scan.take(&mut self.buffer, end);
                if !head.is_interim() {
                    return Poll::Ready(Ok(head));
                }
                interims.pass(head)?;
            }
            if ready!(self.wire.poll_read(cx, &mut self.buffer))? == 0 {
                return Poll::Ready(Err(Broken::Io(io::ErrorKind::UnexpectedEof.into())));
            }
        }
    }
}

/// The body of an answer.
pub(crate) struct Answer {
    connection: Connection,
    buffer: Buffer,
    framing: Framing,
    /// Its connection is kept by the instance.
    lasts: bool,
}

impl Answer {
    pub(super) fn has_ended(&self) -> bool {
        self.framing.has_ended()
    }

    /// The connection, once it carries another protocol. Of those to its process it is none then: they
    /// are for requests.
    pub(super) fn into_tunnel(self) -> (Socket, Buffer, files::Counted) {
        let Connection { wire, _of_all: counted, .. } = self.connection;
        (wire, self.buffer, counted)
    }
}

impl Source for Answer {
    type Error = Broken;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<&[u8]>, Broken>> {
        let here = loop {
            match self.framing.next(&mut self.buffer) {
                Ok(Next::Data(count)) => break count,
                Ok(Next::End) => return Poll::Ready(Ok(None)),
                Ok(Next::More) => {}
                Err(_) => return Poll::Ready(Err(BadResponse::Chunks.into())),
            }
            if ready!(self.connection.wire.poll_read(cx, &mut self.buffer))? == 0 {
                self.lasts = false;
                if self.framing.ends_with_connection() {
                    return Poll::Ready(Ok(None));
                }
                return Poll::Ready(Err(Broken::Io(io::ErrorKind::UnexpectedEof.into())));
            }
        };
        Poll::Ready(Ok(Some(&self.buffer[..here])))
    }

    fn take(&mut self, count: usize) {
        self.buffer.consume(count);
        self.framing.took(count);
    }

    fn trailers(&self) -> &[u8] {
        self.framing.trailers()
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixStream;

    use super::*;

    #[tokio::test]
    async fn what_is_kept_for_a_process_ends_with_it() {
        let files = Files::new(1);
        let pool = Pool::for_all(2, &files).next().unwrap();
        let (stream, other) = UnixStream::pair().unwrap();
        pool.all.open.fetch_add(1, Relaxed);
        let counted = Counted(Arc::clone(&pool.all.open));
        lock(&pool.all.idle[1]).connections.push(Connection {
            wire: stream.into(),
            _of_process: counted,
            _of_all: files.count(),
        });
        let (kept, open) = (Arc::downgrade(&pool.all), Arc::clone(&pool.all.open));
        drop(pool);
        assert!(kept.upgrade().is_none());
        assert_eq!(open.load(Relaxed), 0);
        other.readable().await.unwrap();
        assert_eq!(other.try_read(&mut [0]).unwrap(), 0, "closed");
    }
}
