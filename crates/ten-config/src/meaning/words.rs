//! The words that the table of keys allows, as what they mean.

use ten_domain::{
    AccessLog, Isolation, Listen, Network, OnDemand, Protocol, RestartPolicy, StopSignal,
};

pub(super) fn listen(word: &str) -> Listen {
    match word {
        "auto" => Listen::Auto,
        "port" => Listen::Port,
        "socket" => Listen::Socket,
        "activation" => Listen::Activation,
        "none" => Listen::None,
        _ => not_in_the_table(word),
    }
}

pub(super) fn restart(word: &str) -> RestartPolicy {
    match word {
        "always" => RestartPolicy::Always,
        "on-failure" => RestartPolicy::OnFailure,
        "never" => RestartPolicy::Never,
        _ => not_in_the_table(word),
    }
}

pub(super) fn isolation(word: &str) -> Isolation {
    match word {
        "process" => Isolation::Process,
        "namespace" => Isolation::Namespace,
        _ => not_in_the_table(word),
    }
}

pub(super) fn network(word: &str) -> Network {
    match word {
        "host" => Network::Host,
        "private" => Network::Private { nameservers: None },
        "none" => Network::None,
        _ => not_in_the_table(word),
    }
}

pub(super) fn on_demand(word: &str) -> OnDemand {
    match word {
        "any" => OnDemand::Any,
        "known" => OnDemand::Known,
        "off" => OnDemand::Off,
        _ => not_in_the_table(word),
    }
}

pub(super) fn protocol(word: &str) -> Protocol {
    match word {
        "http1" => Protocol::Http1,
        "h2c" => Protocol::H2c,
        _ => not_in_the_table(word),
    }
}

pub(super) fn access_log(word: &str) -> AccessLog {
    match word {
        "off" => AccessLog::Off,
        "text" => AccessLog::Text,
        "json" => AccessLog::Json,
        _ => not_in_the_table(word),
    }
}

pub(super) fn stop_signal(word: &str) -> StopSignal {
    word.parse().unwrap_or_else(|()| not_in_the_table(word))
}

fn not_in_the_table(word: &str) -> ! {
    panic!("the table of keys allows {word:?}, which has no meaning")
}
