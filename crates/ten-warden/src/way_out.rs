//! The uplink of this server's private networks, made when the first tree asks for it.
//!
//! Made before, where it is known that one will ask, it costs no start anything. Where it cannot
//! be made, each start that asks tries again: an operator may have mended the host meanwhile.
//!
//! A network for the next tree is made before, too: it takes a millisecond, which is what a wake may
//! take altogether.

use std::{cell::RefCell, time::Instant};

use ten_kernel::{Failure, Link, Uplink};

use crate::ahead::Ahead;

/// What a server needs to know of it.
#[derive(Debug, Clone)]
pub struct WayOutOptions {
    /// The name of its device in the host's network, at most 15 bytes, no other server's.
    pub device: String,
    /// Whether trees are going to ask for it.
    pub expected: bool,
}

#[derive(Debug)]
pub(crate) struct WayOut {
    device: String,
    uplink: RefCell<Option<Uplink>>,
    /// For the next tree that asks.
    next: Ahead<Link>,
}

impl WayOut {
    pub(crate) fn prepare(options: WayOutOptions) -> Self {
        let way_out =
            Self { device: options.device, uplink: RefCell::default(), next: Ahead::none() };
        if options.expected {
            match way_out.open() {
                Ok(()) => way_out.next.expect(),
                Err(failure) => {
                    tracing::warn!("instances with a private network will not start: {failure}");
                }
            }
        }
        way_out
    }

    /// A network for one more tree.
    pub(crate) fn link(&self) -> Result<Link, Failure> {
        let link = self.next.take().map_or_else(|| self.make(), Ok);
        // Who asks next finds out whether it can be made by then.
        link.inspect_err(|_| self.next.discard())
    }

    /// When the next network has to be made.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.next.due()
    }

    /// Makes it.
    pub(crate) fn act(&self, now: Instant) {
        self.next.act(now, || self.make());
    }

    fn make(&self) -> Result<Link, Failure> {
        self.open()?;
        self.uplink.borrow().as_ref().map(Uplink::link).expect("it was just made")
    }

    fn open(&self) -> Result<(), Failure> {
        let mut uplink = self.uplink.borrow_mut();
        if uplink.is_none() {
            *uplink = Some(Uplink::open(&self.device)?);
        }
        Ok(())
    }

    /// Takes it down. There are no trees any more.
    pub(crate) fn remove(&self) {
        self.next.discard();
        if let Some(Err(failure)) = self.uplink.borrow_mut().take().map(Uplink::remove) {
            tracing::warn!("{failure}");
        }
    }
}
