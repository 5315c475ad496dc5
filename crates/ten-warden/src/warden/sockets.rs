//! Sockets of trees that the front wants to reach. Their folders are closed to it, so they are
//! looked for here and handed over by descriptor.
//!
//! ```text
//! seek ──► watch its folder, look ──┬─ found ──► told to the front, forgotten
//!                ▲                  └─ not yet
//!                │                        │ a file appears there, or a while passes
//!                └────────────────────────┘
//! ```
//!
//! The kernel tells when a file appears in a folder (inotify(7)). Whoever writes there could fill
//! the queue of what it tells, so it is asked to tell once, and asked anew no sooner than we look
//! anyway: once a millisecond, or as much less often as keeps us free for something else. Nothing
//! depends on what it tells. It tells nothing of a folder that only the tree sees, in an image.

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    mem::MaybeUninit,
    os::fd::OwnedFd,
    path::Path,
    rc::Rc,
    time::{Duration, Instant},
};

use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};

use super::Warden;
use crate::{
    front::Beside,
    protocol::{LaunchId, ToFront},
};

/// The least time between two looks at all that is sought.
const PERIOD: Duration = Duration::from_millis(1);
/// How many times longer than a look the pause after it is at least.
const REST: u32 = 4;
/// Room for some events of the kernel's, each with a name of up to 255 bytes (NAME_MAX).
const EVENTS: usize = 4096;

/// Whose sockets are looked for.
#[derive(Debug)]
pub(super) struct Sought {
    trees: BTreeMap<LaunchId, Search>,
    /// Tells of files that appear, where the kernel has one for us.
    watches: Option<OwnedFd>,
    next: Option<Instant>,
}

#[derive(Debug, Default)]
struct Search {
    /// Whether it was said that its socket cannot be opened.
    said: bool,
    /// By which number its folder is watched; others may have the same folder.
    watch: Option<i32>,
}

impl Sought {
    pub(super) fn nobody() -> Self {
        let watches = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK);
        let refused = |error| {
            tracing::warn!(%error, "cannot watch folders (fs.inotify.max_user_instances): instances \
                                    are found to listen a little later");
        };
        Self { trees: BTreeMap::new(), watches: watches.map_err(refused).ok(), next: None }
    }

    /// Readable when there are files that have appeared.
    pub(super) fn watches(&self) -> Option<&OwnedFd> {
        self.watches.as_ref()
    }

    /// When to look again.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next.filter(|_| !self.trees.is_empty())
    }

    fn watch(&mut self, launch: LaunchId, folder: &Path) {
        let Some(search) = self.trees.get_mut(&launch).filter(|it| it.watch.is_none()) else {
            return;
        };
        let Some(watches) = &self.watches else { return };
        let told = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONESHOT;
        // Refused is what is not there, or seen by the tree alone. Then time tells.
        search.watch = inotify::add_watch(watches, folder, told | WatchFlags::ONLYDIR).ok();
    }

    fn forget(&mut self, launch: LaunchId) -> Search {
        let search = self.trees.remove(&launch).unwrap_or_default();
        if let (Some(watch), Some(watches)) = (search.watch, &self.watches)
            && self.trees.values().all(|other| other.watch != Some(watch))
        {
            // One that has told already is gone.
            let _ = inotify::remove_watch(watches, watch);
        }
        search
    }

    /// Those in whose folder a file has appeared.
    fn told(&mut self) -> Vec<LaunchId> {
        let mut buffer = [MaybeUninit::uninit(); EVENTS];
        let mut launches = Vec::new();
        let Some(watches) = &self.watches else { return launches };
        let mut events = Reader::new(watches, &mut buffer);
        while let Ok(event) = events.next() {
            let told = self.trees.iter_mut().filter(|(_, it)| it.watch == Some(event.wd()));
            launches.extend(told.map(|(launch, search)| {
                search.watch = None;
                *launch
            }));
        }
        launches
    }
}

impl Warden {
    pub(super) fn seek(&mut self, launch: LaunchId, wanted: bool) {
        let Search { said, .. } = self.sought.forget(launch);
        if !wanted {
            return;
        }
        self.sought.trees.insert(launch, Search { said, watch: None });
        self.sought.next.get_or_insert_with(|| Instant::now() + PERIOD);
        self.look(launch);
    }

    pub(super) fn look_where_told(&mut self) {
        for launch in self.sought.told() {
            self.find_socket(launch);
        }
    }

    pub(super) fn look_everywhere(&mut self, now: Instant) {
        if self.sought.next().is_none_or(|at| at > now) {
            return;
        }
        let trees: Vec<_> = self.sought.trees.keys().copied().collect();
        for launch in trees {
            self.look(launch);
        }
        let end = Instant::now();
        let next = end + PERIOD.max(REST * (end - now));
        self.sought.next = Some(next).filter(|_| !self.sought.trees.is_empty());
    }

    /// What appears between a look and a watch would be told by time alone; so the watch is first.
    fn look(&mut self, launch: LaunchId) {
        if let Some(folder) = self.trees.get(&launch).and_then(|tree| tree.socket()?.parent()) {
            self.sought.watch(launch, folder);
        }
        self.find_socket(launch);
    }

    /// Ends the search where it was found and handed over, or its tree is gone.
    fn find_socket(&mut self, launch: LaunchId) {
        let tree = self.trees.get(&launch);
        let Some((tree, path)) = tree.and_then(|tree| Some((tree, tree.socket()?))) else {
            self.sought.forget(launch);
            return;
        };
        match tree.reach_socket(path, self.front_group) {
            Ok(socket) => {
                self.sought.forget(launch);
                self.tell_with(&ToFront::Found { launch }, Beside::Files(Rc::new(vec![socket])));
            }
            // Nothing there yet, or something else: that is up to whoever is inside.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput) => {
            }
            Err(error) => {
                let search = self.sought.trees.get_mut(&launch);
                if search.is_some_and(|search| !std::mem::replace(&mut search.said, true)) {
                    let tree = tree.name();
                    tracing::warn!(tree, socket = %path.display(), %error, "cannot be opened");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_that_appears_is_told_once_to_all_who_watch_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str| fs::write(folder.path().join(name), "").unwrap();
        let mut sought = Sought::nobody();
        let launches = [LaunchId(1), LaunchId(2)];
        for launch in launches {
            sought.trees.insert(launch, Search::default());
            sought.watch(launch, folder.path());
        }
        make("first");
        assert_eq!(sought.told(), launches);
        // Whoever writes there fills no queue.
        make("second");
        assert_eq!(sought.told(), []);
        sought.watch(launches[0], folder.path());
        make("third");
        assert_eq!(sought.told(), launches[..1]);
        // Nor is anything kept of who has been found, or of a folder that is not there.
        sought.watch(launches[1], folder.path());
        sought.forget(launches[1]);
        make("fourth");
        sought.watch(launches[0], &folder.path().join("nowhere"));
        assert_eq!(sought.told(), []);
    }
}
