//! How to start and how to stop.
//!
//! ```text
//! --listen port|socket|activation|none|wrong   where to listen; may be given twice; default port
//! --startup-delay-ms N     listens only after that
//! --crash-after-ms N       aborts after that
//! --exit-at-start CODE     exits at once
//! --ignore-term            survives SIGTERM
//! --term-delay-ms N        exits with 0 that long after SIGTERM
//! --relative KIND          not for users: what a forked relative is started with
//! ```

use std::{process, str::FromStr, thread, time::Duration};

use signal_hook::{consts::SIGTERM, iterator::Signals};

use crate::family::Kind;

#[derive(Debug, Default)]
pub(crate) struct Args {
    pub(crate) listen: Vec<Listen>,
    pub(crate) startup_delay: Option<Duration>,
    pub(crate) crash_after: Option<Duration>,
    pub(crate) exit_at_start: Option<i32>,
    pub(crate) ignore_term: bool,
    pub(crate) term_delay: Option<Duration>,
    pub(crate) relative: Option<Kind>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listen {
    /// `PORT` on the loopback address.
    Port,
    /// `SOCKET_PATH`.
    Socket,
    /// The socket passed as fd 3.
    Activation,
    /// Nowhere.
    None,
    /// A port that nobody has told us.
    Wrong,
}

impl FromStr for Listen {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "port" => Self::Port,
            "socket" => Self::Socket,
            "activation" => Self::Activation,
            "none" => Self::None,
            "wrong" => Self::Wrong,
            _ => return Err(format!("cannot listen on {text:?}")),
        })
    }
}

impl Args {
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut args = Self::default();
        while let Some(option) = words.next() {
            if option == "--ignore-term" {
                args.ignore_term = true;
                continue;
            }
            let value = words.next().ok_or_else(|| format!("{option}: needs a value"))?;
            match option.as_str() {
                "--listen" => args.listen.push(value.parse()?),
                "--startup-delay-ms" => args.startup_delay = Some(milliseconds(&value)?),
                "--crash-after-ms" => args.crash_after = Some(milliseconds(&value)?),
                "--term-delay-ms" => args.term_delay = Some(milliseconds(&value)?),
                "--exit-at-start" => args.exit_at_start = Some(number(&value)?),
                "--relative" => args.relative = Some(value.parse()?),
                _ => return Err(format!("unknown option {option}")),
            }
        }
        if args.listen.is_empty() {
            args.listen.push(Listen::Port);
        }
        Ok(args)
    }
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    number(text).map(Duration::from_millis)
}

fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text:?} is not a number"))
}

/// Without an option SIGTERM does what it does to any program that ignores the subject.
pub(crate) fn obey_signals(args: &Args) {
    if !args.ignore_term && args.term_delay.is_none() {
        return;
    }
    let delay = args.term_delay.filter(|_| !args.ignore_term);
    let mut signals = Signals::new([SIGTERM]).expect("SIGTERM can be handled");
    thread::spawn(move || {
        for _ in signals.forever() {
            match delay {
                None => eprintln!("tenant: ignores SIGTERM"),
                Some(delay) => {
                    eprintln!("tenant: exits in {delay:?}");
                    thread::sleep(delay);
                    process::exit(0);
                }
            }
        }
    });
}
