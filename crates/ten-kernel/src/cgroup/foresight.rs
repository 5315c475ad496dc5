//! Which controllers the leaves of a server would have, without making any.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{Controller, Lack, base_of, is_writable, own_folder};

/// For each controller: `None` where a server could limit with it, else why not. The server is
/// the running one with this pid, or else one that was started from here, by this process.
///
/// Changes nothing, so it cannot know of a kernel that refuses.
pub fn foresee(server: Option<u32>) -> [(Controller, Option<Lack>); 4] {
    let process = server.map_or("self".to_owned(), |pid| pid.to_string());
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let own = own_folder(&read("/proc/self/mountinfo"), &read(&format!("/proc/{process}/cgroup")));
    let base: Option<PathBuf> = own.map(|own| base_of(own).components().collect());
    let base = base.filter(|base| is_writable(base));
    Controller::ALL.map(|controller| {
        let lack =
            base.as_deref().map_or(Some(Lack::Cgroup), |base| lack(base, controller, server));
        (controller, lack)
    })
}

/// In the order in which a server would find out.
fn lack(base: &Path, controller: Controller, server: Option<u32>) -> Option<Lack> {
    let has = |file: &str| {
        let words = fs::read_to_string(base.join(file)).unwrap_or_default();
        words.split_whitespace().any(|word| word == controller.name())
    };
    if !has("cgroup.controllers") {
        return Some(Lack::Controller { controller, base: base.into() });
    }
    let own = server.unwrap_or(std::process::id()).to_string();
    let is_root = !base.join("cgroup.events").exists();
    let processes = fs::read_to_string(base.join("cgroup.procs")).unwrap_or_default();
    let shared = !is_root && processes.lines().any(|pid| pid != own);
    (shared && !has("cgroup.subtree_control")).then(|| Lack::Shared { base: base.into() })
}
