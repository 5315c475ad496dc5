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
//! one frame ends is known, so that goodbye can be said between two of them when the server or
//! the instance is to end. Bytes of any other protocol have no such place: they flow on, until
//! a side ends them or whoever waits for that has waited long enough.

mod flow;
mod frames;
mod parting;

use self::{flow::Flow, frames::Frames, parting::Parting};
use crate::{
    DrainSignal, Lease,
    buffer::Buffer,
    files,
    listen::Terms,
    record::Recording,
    wire::{Socket, Wire},
};

/// The status code that says that an endpoint goes away, "such as a server going down"
/// (RFC 6455, section 7.4.1). To the instance it is the client that goes.
const GOING_AWAY: u16 = 1001;

/// An instance that has switched protocols.
pub(crate) struct Switch<L> {
    pub(crate) protocol: Vec<u8>,
    pub(crate) socket: Socket,
    /// What it has said already.
    pub(crate) rest: Buffer,
    /// Its connection is one of all that are open.
    pub(crate) counted: files::Counted,
    /// Before the lease: the use ends after it was told.
    pub(crate) recording: Recording,
    pub(crate) lease: L,
}

/// Carries what both sides say until both have ended. `client` comes with what it has said
/// already, and with how long it is waited for while it takes nothing. Once `drain` begins, or the
/// instance's own, both sides are told goodbye.
pub(crate) async fn run<L: Lease>(
    client: (Wire, Buffer, Terms),
    instance: Switch<L>,
    mut drain: DrainSignal,
) {
    let Switch { protocol, socket, rest, counted, recording, lease } = instance;
    let wire = Wire::from(socket);
    let websocket = protocol.eq_ignore_ascii_case(b"websocket");
    let frames = || if websocket { Frames::default() } else { Frames::unknown() };
    let (client, said, terms) = client;
    let end = client.clone();
    let parting = Parting::default();
    let up = Flow::new(
        (client.clone(), said),
        wire.clone(),
        frames(),
        masked_close(GOING_AWAY),
        &parting,
    );
    let down = Flow::new((wire, rest), client, frames(), close(GOING_AWAY), &parting);
    let down = down.within(terms);
    let flows = async { tokio::try_join!(up.run(), down.run()) };
    let reason = async {
        tokio::select! {
            () = drain.draining() => {}
            () = lease.draining() => {}
        }
    };
    let flowed = parting.begins_with(reason, flows).await;
    drop((counted, recording, lease));
    let ended = match flowed {
        Ok(_) => flow::end(&end).await,
        broken => broken.map(drop),
    };
    if let Err(error) = ended {
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
