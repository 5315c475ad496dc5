//! The end of a client that waits for an answer.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use super::Client;

/// Ready when the client has gone, as [`Client::gone`] is. That takes a place in a list for each
/// wait; nearly always it is enough to know that nothing at all has come of the client since its
/// request, and only then is more looked into.
pub(crate) struct Departure<'a> {
    client: &'a Client,
    watch: Option<Pin<Box<dyn Future<Output = ()> + Send + 'a>>>,
}

impl<'a> Departure<'a> {
    pub(crate) fn of(client: &'a Client) -> Self {
        Self { client, watch: None }
    }
}

impl Future for Departure<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let client = self.client;
        if client.multiplexed {
            return Poll::Pending;
        }
        if self.watch.is_none() {
            // An error is an end, too: the watch says so.
            let _ = ready!(client.stream.poll_read_ready(cx));
        }
        let watch = self.watch.get_or_insert_with(|| Box::pin(client.gone()));
        watch.as_mut().poll(cx)
    }
}
