//! The frames that a client sends on a connection of HTTP/2, as far as they can be a nuisance.
//!
//! h2 bounds what frames cost in memory. What it does not bound is how many frames a client may
//! send that carry nothing: each costs an answer (PING, SETTINGS), a line of a log (an ACK of
//! nothing), a request that an instance began in vain (RST_STREAM, CVE-2023-44487), or time. Of
//! those a client has a [`Budget`]; with one more the connection ends.
//!
//! A PING measures the line too: grpc-go sends one in answer to each DATA as soon as the last one
//! is back, thousands in a second where the line is short. So a PING is free after
//! [`MEASURED`] bytes of answers, which cost more than it does.
//!
//! Frames are not held: this reads the nine bytes of their heads (RFC 9113, section 4.1) as they
//! pass, and counts.

use std::time::Duration;

use ten_domain::ProxySettings;
use tokio::time::Instant;

/// Bytes to the client that it may measure with a PING: more than the answers to three others.
const MEASURED: usize = 64;
/// Length of a frame's head.
const HEAD: usize = 9;
/// Said after a flood, in place of what follows it: a PING without its eight bytes, to which h2
/// answers with GOAWAY (RFC 9113, section 6.7).
pub(super) const ILLEGAL: &[u8; HEAD] = &[0, 0, 0, 6, 0, 0, 0, 0, 0];

/// Types and flags of frames (RFC 9113, section 6).
mod kind {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const PING: u8 = 6;
    pub(super) const GOAWAY: u8 = 7;
    pub(super) const WINDOW_UPDATE: u8 = 8;
    /// Of DATA.
    pub(super) const END_STREAM: u8 = 1;
}

/// Frames without use that a client may send.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    at_once: u32,
    /// In this time there is room for one more.
    each: Duration,
}

impl Budget {
    /// As the settings have it.
    pub(super) fn of(settings: &ProxySettings) -> Self {
        let each = Duration::from_secs(1) / settings.useless_frames_per_second;
        Self { at_once: settings.max_useless_frames, each }
    }
}

/// Reads along with one connection.
#[derive(Debug)]
pub(super) struct Frames {
    head: [u8; HEAD],
    /// Bytes of the head that are known.
    known: usize,
    /// Bytes up to the next head.
    skip: usize,
    budget: Budget,
    /// What may still come, as of `since`.
    left: u32,
    since: Instant,
    /// Bytes to the client since its last free PING.
    sent: usize,
    /// Frames so far.
    seen: usize,
    flooded: bool,
}

impl Frames {
    /// A connection whose first `skip` bytes, the preface, are no frame.
    pub(super) fn after(skip: usize, budget: Budget) -> Self {
        let (left, since) = (budget.at_once, Instant::now());
        let head = [0; HEAD];
        Self { head, known: 0, skip, budget, left, since, sent: 0, seen: 0, flooded: false }
    }

    /// Reads on. How many of `bytes` may pass: all, or those up to the end of the frame that
    /// was one too many.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            let more = self.skip.min(bytes.len() - at);
            (self.skip, at) = (self.skip - more, at + more);
            if self.ended() {
                return at;
            }
            let more = if self.skip > 0 { 0 } else { (HEAD - self.known).min(bytes.len() - at) };
            self.head[self.known..self.known + more].copy_from_slice(&bytes[at..at + more]);
            (self.known, at) = (self.known + more, at + more);
            if self.known == HEAD {
                self.known = 0;
                self.frame();
            }
        }
        at
    }

    /// So many bytes went to the client.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent = self.sent.saturating_add(bytes);
    }

    /// How many frames have begun.
    pub(super) fn seen(&self) -> usize {
        self.seen
    }

    /// Whether nothing may pass any more.
    pub(super) fn ended(&self) -> bool {
        self.flooded && self.skip == 0 && self.known == 0
    }

    fn frame(&mut self) {
        self.seen += 1;
        let [a, b, c, kind, flags, ..] = self.head;
        let length = u32::from_be_bytes([0, a, b, c]);
        self.skip = length as usize;
        let useful = match kind {
            kind::DATA => length > 0 || flags & kind::END_STREAM != 0,
            kind::PING if self.sent >= MEASURED => {
                self.sent = 0;
                true
            }
            kind::HEADERS | kind::WINDOW_UPDATE | kind::GOAWAY => true,
            _ => false,
        };
        self.flooded |= !useful && !self.spend();
    }

    /// Whether there was room for one more.
    fn spend(&mut self) -> bool {
        let Budget { at_once, each } = self.budget;
        let back = self.since.elapsed().as_nanos() / each.as_nanos();
        if back > 0 {
            let back = u32::try_from(back).unwrap_or(u32::MAX);
            self.since += each * back;
            self.left = self.left.saturating_add(back).min(at_once);
        }
        self.left.checked_sub(1).map(|left| self.left = left).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: &ProxySettings = &ProxySettings::DEFAULT;
    const AT_ONCE: u32 = DEFAULT.max_useless_frames;
    const PER_SECOND: u32 = DEFAULT.useless_frames_per_second;

    fn frames(skip: usize) -> Frames {
        Frames::after(skip, Budget::of(DEFAULT))
    }

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = (payload.len() as u32).to_be_bytes();
        let head = [length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        [&head[..], payload].concat()
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_ends_after_its_last_frame_and_time_makes_room() {
        let mut frames = frames(0);
        let ping = frame(6, 0, &[0; 8]);
        for _ in 0..AT_ONCE {
            assert_eq!(frames.scan(&ping), ping.len());
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        let more = ping.repeat(PER_SECOND as usize);
        assert_eq!(frames.scan(&more), more.len());
        assert!(!frames.ended());
        let last = ping.repeat(2);
        assert_eq!(frames.scan(&last), ping.len());
        assert!(frames.ended());
    }

    #[tokio::test(start_paused = true)]
    async fn the_settings_say_how_many_and_how_fast() {
        for (max_useless_frames, useless_frames_per_second) in
            [(16, 1), (16, 3), (50, 1_000_000), (1_000_000_000, 7)]
        {
            let settings = ProxySettings {
                max_useless_frames,
                useless_frames_per_second,
                ..ProxySettings::DEFAULT
            };
            let mut frames = Frames::after(0, Budget::of(&settings));
            let ping = frame(6, 0, &[0; 8]);
            let bounded = max_useless_frames.min(1000);
            let sent = (0..bounded).filter(|_| frames.scan(&ping) > 0 && !frames.ended()).count();
            assert_eq!(sent, bounded as usize, "{settings:?}");
            // However long it was silent, it has no more than at first.
            tokio::time::advance(Duration::from_secs(3600)).await;
            let sent = (0..bounded).filter(|_| frames.scan(&ping) > 0 && !frames.ended()).count();
            assert_eq!(sent, bounded as usize, "{settings:?}");
            tokio::time::advance(Duration::from_secs(1)).await;
            let back = useless_frames_per_second.min(bounded);
            let sent = (0..back).filter(|_| frames.scan(&ping) > 0 && !frames.ended()).count();
            assert_eq!(sent, back as usize, "{settings:?}");
            frames.scan(&ping);
            assert_eq!(frames.ended(), bounded == max_useless_frames, "{settings:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_carries_something_is_no_flood() {
        let mut frames = frames(24);
        frames.scan(&[0; 24]);
        let useful =
            [frame(0, 0, b"x"), frame(0, 1, b""), frame(1, 4, b"hhh"), frame(8, 0, &[0, 0, 0, 1])];
        for _ in 0..10 * AT_ONCE {
            for frame in &useful {
                assert_eq!(frames.scan(frame), frame.len());
            }
        }
        assert!(!frames.ended());
    }

    #[tokio::test(start_paused = true)]
    async fn a_ping_for_each_piece_of_an_answer_is_no_flood() {
        let mut frames = frames(0);
        let ping = frame(6, 0, &[0; 8]);
        for _ in 0..10 * AT_ONCE {
            frames.sent(100);
            assert_eq!(frames.scan(&ping), ping.len());
        }
        // The answers to a flood pay for none of it that counts.
        let mut floods = 0;
        while frames.scan(&ping) > 0 {
            frames.sent(ping.len());
            floods += 1;
        }
        assert!(floods < 2 * AT_ONCE, "{floods}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_carries_nothing_counts_in_pieces_too() {
        for kind in [0, 2, 3, 4, 6, 9, 10, 255] {
            let mut frames = frames(0);
            let empty = frame(kind, 0, if kind == 0 { b"" } else { b"1234" });
            let flood = empty.repeat(AT_ONCE as usize + 1);
            let passed: usize = flood.chunks(5).map(|piece| frames.scan(piece)).sum();
            assert_eq!(passed, flood.len(), "kind {kind}");
            assert!(frames.ended(), "kind {kind}");
            assert_eq!(frames.scan(&empty), 0);
        }
    }
}
