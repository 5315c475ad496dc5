//! The body of an instance's answer, and everything that ends with it.

use std::task::{Context, Poll};

use super::ReplyError;
use crate::{
    body::Source,
    pool::{Answer, Broken, Pool, Uploading},
    upload::is_timeout,
};

/// The body of an instance's answer. While it lives, the instance is in use; with it ends an
/// upload that was answered before its end.
pub(crate) struct Download<L> {
    answer: Option<Answer>,
    uploading: Option<Uploading>,
    /// The request was answered before all of it was sent.
    early: bool,
    /// Where the connection goes back to.
    pool: Pool,
    /// Last, so that the connection is back in the pool before the use ends.
    _lease: L,
}

impl<L> Download<L> {
    pub(crate) fn new(
        answer: Answer,
        uploading: Option<Uploading>,
        pool: Pool,
        lease: L,
    ) -> Box<Self> {
        let early = uploading.is_some();
        Box::new(Self { answer: Some(answer), uploading, early, pool, _lease: lease })
    }

    pub(super) fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<&[u8]>, ReplyError>> {
        match &mut self.answer {
            Some(answer) => answer.poll_data(cx).map_err(ReplyError::from),
            None => Poll::Ready(Ok(None)),
        }
    }
}

impl<L> Download<L> {
    pub(super) fn answer(&self) -> Option<&Answer> {
        self.answer.as_ref()
    }

    pub(super) fn take(&mut self, count: usize) {
        if let Some(answer) = &mut self.answer {
            answer.take(count);
        }
    }

    /// Sends what there is of the rest of the request, and gathers what has come of the answer.
    ///
    /// # Errors
    /// Where the client breaks it off. Then the rest of the answer is to nobody.
    pub(super) fn poll_rest(&mut self, cx: &mut Context<'_>) -> Result<(), ReplyError> {
        if let Some(answer) = &self.answer {
            answer.gather(cx);
        }
        let Some(uploading) = &mut self.uploading else { return Ok(()) };
        let Poll::Ready(sent) = uploading.poll(cx) else { return Ok(()) };
        let uploading = self.uploading.take();
        match sent {
            // Who has an answer may have stopped for that (RFC 9112, section 9.5). Nobody but the
            // instance is kept waiting, and it learns so.
            Err(Broken::Upload(error)) if is_timeout(&error) => {
                uploading.map_or(Ok(()), Uploading::end).map_err(ReplyError::from)
            }
            sent => sent.map_err(ReplyError::from),
        }
    }
}

impl<L> Drop for Download<L> {
    fn drop(&mut self) {
        // Otherwise its end goes with it: the rest of this answer would be the next client's, and
        // nothing may reach the instance after its use has ended. An instance that has answered
        // before it had the whole request may never read the rest, or take it for the next one.
        if let (Some(answer), false) = (self.answer.take(), self.early) {
            self.pool.take_back(answer);
        }
    }
}
