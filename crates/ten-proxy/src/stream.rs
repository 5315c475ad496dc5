//! The two ways of a stream of HTTP/2, on whichever end of it we are.

use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::{RecvStream, SendStream};

use crate::{body::Source, headers};

/// What the other side sends: a body and its trailers.
pub(crate) struct Received {
    stream: RecvStream,
    piece: Bytes,
    /// What is left are trailers, or nothing.
    no_more_data: bool,
    trailers: Option<Vec<u8>>,
}

impl Received {
    pub(crate) fn new(stream: RecvStream) -> Self {
        Self { stream, piece: Bytes::new(), no_more_data: false, trailers: None }
    }

    /// Whether nothing is to come any more.
    pub(crate) fn has_ended(&self) -> bool {
        self.piece.is_empty() && self.stream.is_end_stream()
    }

    /// Throws the rest away.
    pub(crate) async fn run_out(mut self) {
        while let Some(Ok(_)) = self.stream.data().await {}
    }
}

impl Source for Received {
    type Error = h2::Error;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<&[u8]>, h2::Error>> {
        while self.piece.is_empty() && !self.no_more_data {
            match ready!(self.stream.poll_data(cx)).transpose()? {
                Some(data) => {
                    // It is asked for once what came before was taken.
                    self.stream.flow_control().release_capacity(data.len())?;
                    self.piece = data;
                }
                None => self.no_more_data = true,
            }
        }
        if self.piece.is_empty() && self.trailers.is_none() {
            let trailers = ready!(self.stream.poll_trailers(cx))?.unwrap_or_default();
            let mut lines = Vec::new();
            headers::write(&trailers, &mut lines);
            self.trailers = Some(lines);
        }
        Poll::Ready(Ok(Some(&self.piece[..]).filter(|piece| !piece.is_empty())))
    }

    fn take(&mut self, count: usize) {
        self.piece.advance(count);
    }

    fn trailers(&self) -> &[u8] {
        self.trailers.as_deref().unwrap_or_default()
    }
}

/// Waits until the other side takes some of `wanted` bytes, and says how many; `None`: it never
/// will. No window is claimed for what is not there: that would keep it from the other streams.
pub(crate) fn poll_room(
    stream: &mut SendStream<Bytes>,
    wanted: usize,
    cx: &mut Context<'_>,
) -> Poll<Option<usize>> {
    stream.reserve_capacity(wanted);
    while stream.capacity() == 0 {
        if !matches!(ready!(stream.poll_capacity(cx)), Some(Ok(_))) {
            return Poll::Ready(None);
        }
    }
    Poll::Ready(Some(stream.capacity().min(wanted)))
}
