//! Which machine, kernel and build a result is of.

use std::{fmt, fs, thread};

/// What a reader must know to judge a number.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Machine {
    /// Processors that this process may use.
    pub cores: usize,
    /// The first processor's name.
    pub processor: String,
    /// Release of the kernel.
    pub kernel: String,
    /// cargo's profile of everything measured.
    pub profile: &'static str,
    /// Load averages before the run: of 1, 5 and 15 minutes (proc_loadavg(5)).
    pub load: String,
}

/// This machine, as of now.
pub fn describe() -> Machine {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processor = cpuinfo.lines().find(|line| line.starts_with("model name"));
    let processor = processor.and_then(|line| line.split_once(':'));
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    Machine {
        cores: thread::available_parallelism().map_or(1, usize::from),
        processor: processor.map_or("unknown", |(_, name)| name.trim()).into(),
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        profile: crate::build::PROFILE,
        load: load.split(' ').take(3).collect::<Vec<_>>().join(" "),
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cores, processor, kernel, profile, load } = self;
        writeln!(f, "machine  {cores} × {processor}, Linux {kernel}, load {load}")?;
        write!(f, "build    {profile}")
    }
}
