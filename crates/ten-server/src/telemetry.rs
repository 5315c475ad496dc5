//! ten's own log: one line per event on stderr, filtered by `RUST_LOG`.

use std::{env, io::IsTerminal as _};

use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt,
    prelude::*,
};

/// What is logged where `RUST_LOG` says nothing. What these libraries warn of is what clients
/// send, and no client may write our log; where it matters, the data plane says it itself.
const DEFAULT: &str = "info,h2=error,hyper=error";

/// Starts logging in this process. Called once.
///
/// `RUST_LOG` is a list of levels, each perhaps for one crate or module: `info,ten_proxy=debug`.
pub fn start() {
    let given = env::var("RUST_LOG").unwrap_or_default();
    let (targets, wrong) = match targets(&given) {
        Some(targets) => (targets, false),
        None => (targets(DEFAULT).expect("it is sound"), !given.is_empty()),
    };
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none())
        .with_target(false);
    tracing_subscriber::registry().with(targets).with(lines).init();
    if wrong {
        tracing::warn!("RUST_LOG is {given:?}, which is not understood; logged is {DEFAULT:?}");
    }
}

/// What a list asks for; `None` where that cannot be told, or is nothing. The library takes a word
/// that is no level for the name of a crate, of which then everything would be logged and of the rest
/// nothing.
fn targets(list: &str) -> Option<Targets> {
    let items: Vec<&str> = list.split(',').map(str::trim).filter(|item| !item.is_empty()).collect();
    let is_sound = |item: &&str| match item.split_once('=') {
        Some((target, _)) => !target.contains('['),
        None => item.parse::<LevelFilter>().is_ok(),
    };
    let sound = !items.is_empty() && items.iter().all(is_sound);
    sound.then(|| items.join(",").parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn a_list_is_read_or_refused_as_a_whole() {
        let info = targets(" info, ten_proxy=debug,, ").unwrap();
        assert!(info.would_enable("ten_proxy::listen", &Level::DEBUG));
        assert!(info.would_enable("ten_server", &Level::INFO));
        assert!(!info.would_enable("ten_server", &Level::DEBUG));
        let default = targets(DEFAULT).unwrap();
        assert!(default.would_enable("ten_server", &Level::INFO));
        assert!(!default.would_enable("h2::proto", &Level::WARN));
        for wrong in ["", " ", ",", "inof", "ten_proxy", "ten_proxy=loud", "[span]=debug", "info,x"]
        {
            assert!(targets(wrong).is_none(), "{wrong:?}");
        }
    }
}
