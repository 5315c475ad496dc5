use std::{
    collections::VecDeque,
    fs::File,
    os::fd::{BorrowedFd, OwnedFd},
};

use super::*;

/// A disk that is full now and then: takes so many bytes of each write, or none with an error.
struct Disk {
    takes: VecDeque<Option<usize>>,
    written: Arc<Mutex<Vec<u8>>>,
    /// Always ready, as a file is.
    ready: OwnedFd,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = match self.takes.pop_front() {
            Some(Some(most)) => bytes.len().min(most),
            Some(None) => return Err(io::ErrorKind::StorageFull.into()),
            None => bytes.len(),
        };
        self.written.lock().unwrap().extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Disk {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ready.as_fd()
    }
}

/// Writes each of `batches`, and says what is on the disk then and how many lines are lost.
fn written(takes: &[Option<usize>], batches: &[&str]) -> (String, u64) {
    let ready = File::open("/dev/null").unwrap().into();
    let written = Arc::<Mutex<Vec<u8>>>::default();
    let out = Disk { takes: takes.iter().copied().collect(), written: Arc::clone(&written), ready };
    let mut writer = Writer { queue: Arc::default(), out, torn: false, lost: Losses::new() };
    for batch in batches {
        writer.put(batch.as_bytes());
    }
    let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
    (text, writer.lost.lines)
}

#[test]
fn a_line_that_is_torn_is_lost_alone() {
    let (all, few, none) = (Some(100), Some(3), None);
    for (takes, want, lost) in [
        (&[][..], "first\nsecond\nthird\n", 0),
        (&[few, none], "fir\nsecond\nthird\n", 1),
        (&[none, all], "second\nthird\n", 1),
        // Still full when the next lines come: the torn one is ended by those that can be.
        (&[few, none, none, all], "fir\nthird\n", 2),
        (&[few, none, Some(1), none, all], "fir\nthird\n", 2),
    ] {
        let got = written(takes, &["first\n", "second\n", "third\n"]);
        assert_eq!(got, (want.into(), lost), "{takes:?}");
    }
}
