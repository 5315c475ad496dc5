//! Which controllers the leaves of a server would have, without making any.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    Controller, Lack,
    base::{Base, has_others, is_writable},
};

/// Where a server would have its leaves, and with what.
#[derive(Debug)]
pub struct Foresight {
    /// The cgroup that would be divided, if there is one.
    pub base: Option<PathBuf>,
    /// The server's own one, where others are in it and the topmost is divided instead.
    pub shared: Option<PathBuf>,
    /// For each controller: `None` where a server could limit with it, else why not.
    pub controllers: [(Controller, Option<Lack>); 4],
}

/// What could be limited. The server is the running one with this pid, or else one that was
/// started from here, by this process.
///
/// Changes nothing, so it cannot know of a kernel that refuses.
pub fn foresee(server: Option<u32>) -> Foresight {
    let server = server.unwrap_or(std::process::id());
    // Whoever cannot see it could not use it either.
    let found = Base::of(server).unwrap_or_default().filter(|base| is_writable(&base.path));
    let (base, shared) = found.map_or((None, None), |base| (Some(base.path), base.shared));
    let controllers = Controller::ALL.map(|controller| {
        let lack =
            base.as_deref().map_or(Some(Lack::Cgroup), |base| lack(base, controller, server));
        (controller, lack)
    });
    Foresight { base, shared, controllers }
}

/// In the order in which a server would find out.
fn lack(base: &Path, controller: Controller, server: u32) -> Option<Lack> {
    let available = fs::read_to_string(base.join("cgroup.controllers")).unwrap_or_default();
    if !available.split_whitespace().any(|word| word == controller.name()) {
        return Some(Lack::Controller { controller, base: base.into() });
    }
    has_others(base, server).unwrap_or(true).then(|| Lack::Shared { base: base.into() })
}
