//! A connection that has switched protocols: bytes both ways until both sides have ended.
//!
//! ```text
//!            ┌── flow ──▶ frames ──┐
//!   client ──┤                     ├── instance
//!            └── frames ◀── flow ──┘
//! ```
//!
//! Each direction flows and ends by itself. Nothing here speaks WebSocket: no message is put
//! together, no mask is taken off, no error of either side is anybody's but theirs. Only where
//! one frame ends is known, so that a drain can say goodbye between two of them.

mod flow;
mod frames;

use std::sync::Arc;

use http::HeaderValue;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;

use self::{flow::Flow, frames::Frames};
use crate::{DrainSignal, listen::Client};

/// The status code that says that an endpoint goes away, "such as a server going down"
/// (RFC 6455, section 7.4.1).
const GOING_AWAY: u16 = 1001;

/// A client's wish to switch.
pub(crate) struct Upgrade {
    pub(crate) protocol: HeaderValue,
    pub(crate) client: OnUpgrade,
}

/// Starts the tunnel between a client that was answered 101 and the instance that said so.
/// The lease is held until it ends; it ends at the latest with the drain's deadline.
pub(crate) fn start(
    on: Upgrade,
    instance: OnUpgrade,
    client: Arc<Client>,
    lease: impl Send + 'static,
) {
    client.becomes_tunnel();
    tokio::spawn(async move {
        let mut drain = client.drain.clone();
        tokio::select! {
            () = run(on, instance, client.drain.clone()) => {}
            () = drain.cut() => {}
        }
        drop((lease, client));
    });
}

async fn run(on: Upgrade, instance: OnUpgrade, drain: DrainSignal) {
    let both = async {
        let client: Upgraded = on.client.await?;
        Ok::<_, hyper::Error>((client, instance.await?))
    };
    let (client, instance) = match both.await {
        Ok(both) => both,
        Err(error) => {
            tracing::debug!(%error, "a side left while the tunnel was being made");
            return;
        }
    };
    let websocket = on.protocol.as_bytes().eq_ignore_ascii_case(b"websocket");
    let frames = || if websocket { Frames::default() } else { Frames::unknown() };
    let (from_client, to_client) = tokio::io::split(TokioIo::new(client));
    let (from_instance, to_instance) = tokio::io::split(TokioIo::new(instance));
    let up = Flow::new(from_client, to_instance, frames(), masked_close(GOING_AWAY), drain.clone());
    let down = Flow::new(from_instance, to_client, frames(), close(GOING_AWAY), drain);
    if let Err(error) = tokio::try_join!(up.run(), down.run()) {
        tracing::debug!(%error, "tunnel broken off");
    }
}

/// A Close frame as a server sends it (RFC 6455, sections 5.2 and 5.5.1).
fn close(code: u16) -> Vec<u8> {
    let [high, low] = code.to_be_bytes();
    vec![0x88, 2, high, low]
}

/// A Close frame as a client sends it: masked (RFC 6455, section 5.3).
fn masked_close(code: u16) -> Vec<u8> {
    let [high, low] = code.to_be_bytes();
    // A key that can be guessed does no harm here: it protects against a payload that a
    // script has chosen, and nobody chose this one.
    let [a, b, c, d] = getrandom::u32().unwrap_or_default().to_be_bytes();
    vec![0x88, 0x80 | 2, a, b, c, d, high ^ a, low ^ b]
}
