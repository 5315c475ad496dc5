//! What the loop listens to, as the one number that the kernel keeps for each.

use crate::protocol::LaunchId;

/// Whence an event comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Signals,
    FrontSocket,
    FrontExit,
    /// Somewhere where a socket is looked for.
    Files,
    Tree(LaunchId, Part),
}

/// Which part of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Init,
    Report,
    Cgroup,
}

impl Source {
    /// The two lowest bits say what, the rest which: launch ids have 62 bits.
    pub(crate) fn number(self) -> u64 {
        match self {
            Self::Signals => 0,
            Self::FrontSocket => 1 << 2,
            Self::FrontExit => 2 << 2,
            Self::Files => 3 << 2,
            Self::Tree(LaunchId(id), Part::Init) => id << 2 | 1,
            Self::Tree(LaunchId(id), Part::Report) => id << 2 | 2,
            Self::Tree(LaunchId(id), Part::Cgroup) => id << 2 | 3,
        }
    }

    pub(crate) fn from_number(number: u64) -> Self {
        let part = match (number & 3, number >> 2) {
            (0, 0) => return Self::Signals,
            (0, 1) => return Self::FrontSocket,
            (0, 2) => return Self::FrontExit,
            (0, _) => return Self::Files,
            (1, _) => Part::Init,
            (2, _) => Part::Report,
            (_, _) => Part::Cgroup,
        };
        Self::Tree(LaunchId(number >> 2), part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_name_sources() {
        for source in [
            Source::Signals,
            Source::FrontSocket,
            Source::FrontExit,
            Source::Files,
            Source::Tree(LaunchId(0), Part::Init),
            Source::Tree(LaunchId(7), Part::Report),
            Source::Tree(LaunchId(1 << 61), Part::Cgroup),
        ] {
            assert_eq!(Source::from_number(source.number()), source);
        }
    }
}
