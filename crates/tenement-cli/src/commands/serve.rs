//! `ten serve`: check the config, then run the server in the foreground.

use std::{
    env,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::ExitCode,
};

use clap::Args;
use ten_domain::Host;
use ten_server::ServeOptions;

use super::config;
use crate::{args::Global, connect, failure::Failure};

/// Where requests are accepted, and for whom.
#[derive(Debug, Args)]
pub(crate) struct Listen {
    /// The port for HTTP
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// An address to listen on; may be repeated [default: 127.0.0.1 where the domain is
    /// localhost, else 0.0.0.0]
    #[arg(long, value_name = "ADDR")]
    bind: Vec<IpAddr>,
    /// The domain under which instances have their hostnames
    #[arg(long, default_value = "localhost", value_parser = domain)]
    domain: String,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    listen: Listen,
    /// Serve HTTPS with certificates from an ACME authority
    #[arg(long)]
    tls: bool,
    /// The address that the ACME authority writes to
    #[arg(long, requires = "tls")]
    email: Option<String>,
    /// Use the ACME authority's staging directory
    #[arg(long, requires = "tls")]
    staging: bool,
}

impl Serve {
    pub(crate) fn run(self, global: &Global) -> Result<ExitCode, Failure> {
        if self.tls {
            return Err(Failure::unsupported("--tls").fix("put a proxy with TLS in front of it"));
        }
        let source = connect::read(&connect::locate(global)?)?;
        let config = config::parse(&source, &|name| env::var(name).ok())?;
        let data_dir = global.data_dir.clone().unwrap_or(config.settings.data_dir.clone());
        let data_dir = connect::data_dir_at(&data_dir)?;
        let listen = self.listen.addresses();
        let domain = self.listen.domain;
        ten_server::telemetry::start();
        let options = ServeOptions { source, config, data_dir, listen, domain };
        ten_server::serve(options).map_err(|error| {
            let remedy = error.remedy();
            let failure = Failure::new("cannot serve").because(error);
            match remedy {
                Some(remedy) => failure.fix(remedy),
                None => failure,
            }
        })
    }
}

impl Listen {
    /// Whoever tries it on `localhost` shows nothing to the network; naming a domain says that
    /// it is meant to be reached.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        let local = self.domain == "localhost";
        let usual = if local { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
        let addresses = if self.bind.is_empty() { &vec![usual.into()] } else { &self.bind };
        addresses.iter().map(|address| SocketAddr::new(*address, self.port)).collect()
    }
}

/// A domain in its one spelling, as hosts of requests are compared with it.
fn domain(text: &str) -> Result<String, String> {
    match Host::parse(text) {
        Ok(Host::Name(name)) if !text.contains(':') => Ok(name),
        Ok(_) => Err("it is a name such as example.com, without a port".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        listen: Listen,
    }

    fn listen(line: &str) -> Vec<String> {
        let typed = Typed::parse_from(line.split_whitespace());
        typed.listen.addresses().iter().map(SocketAddr::to_string).collect()
    }

    #[test]
    fn only_a_domain_of_its_own_is_shown_to_the_network() {
        assert_eq!(listen("ten"), ["127.0.0.1:8080"]);
        assert_eq!(listen("ten --domain LOCALHOST"), ["127.0.0.1:8080"]);
        assert_eq!(listen("ten --domain example.com --port 80"), ["0.0.0.0:80"]);
        assert_eq!(
            listen("ten --domain example.com --bind 10.0.0.1 --bind ::1"),
            ["10.0.0.1:8080", "[::1]:8080"]
        );
    }

    #[test]
    fn domains_have_one_spelling() {
        assert_eq!(domain("Example.com."), Ok("example.com".to_owned()));
        for bad in ["", "example.com:80", "10.0.0.1", "[::1]", "a b", "http://a"] {
            assert!(domain(bad).is_err(), "{bad:?}");
        }
    }
}
