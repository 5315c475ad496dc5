//! `ten serve`: check the config, then run the server in the foreground.

use std::{
    env,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::ExitCode,
};

use clap::Args;
use ten_domain::{Config, Host};
use ten_server::{Listen, ServeOptions};

use super::config;
use crate::{args::Global, connect, failure::Failure};

/// The port for plain HTTP, where that is all that is served.
const PORT: u16 = 8080;

/// Where requests are accepted, and for whom.
#[derive(Debug, Args)]
pub(crate) struct Where {
    /// The port for HTTP [default: 8080; with TLS the config names two]
    #[arg(long)]
    port: Option<u16>,
    /// An address to listen on; may be repeated [default: 127.0.0.1 where the domain is
    /// localhost, else 0.0.0.0]
    #[arg(long, value_name = "ADDR")]
    bind: Vec<IpAddr>,
    /// The domain under which instances have their hostnames
    #[arg(long, default_value = "localhost", value_parser = domain)]
    domain: String,
    /// Serve HTTPS with the certificate of [settings.tls], as if `enabled` were true there
    #[arg(long)]
    tls: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    at: Where,
    /// The address that the ACME authority writes to
    #[arg(long, requires = "tls")]
    email: Option<String>,
    /// Use the ACME authority's staging directory
    #[arg(long, requires = "tls")]
    staging: bool,
}

impl Serve {
    pub(crate) fn run(self, global: &Global) -> Result<ExitCode, Failure> {
        for (given, option) in [(self.email.is_some(), "--email"), (self.staging, "--staging")] {
            if given {
                let fix = "name a certificate of your own: [settings.tls] cert_file and key_file";
                return Err(Failure::unsupported(option).fix(fix));
            }
        }
        let source = connect::read(&connect::locate(global)?)?;
        let config = config::parse(&source, &|name| env::var(name).ok())?;
        let data_dir = global.data_dir.clone().unwrap_or(config.settings.data_dir.clone());
        let data_dir = connect::data_dir_at(&data_dir)?;
        let listen = self.at.listen(Some(&config))?;
        let domain = self.at.domain;
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

impl Where {
    /// Whoever tries it on `localhost` shows nothing to the network; naming a domain says that
    /// it is meant to be reached.
    pub(crate) fn listen(&self, config: Option<&Config>) -> Result<Listen, Failure> {
        let local = self.domain == "localhost";
        let usual = if local { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
        let mut addresses = self.bind.clone();
        if addresses.is_empty() {
            addresses.push(usual.into());
        }
        let tls = config.and_then(|config| config.settings.tls.as_ref());
        match (tls.filter(|tls| tls.enabled || self.tls), self.port) {
            (Some(_), Some(_)) => Err(Failure::usage("--port is for plain HTTP alone")
                .why("HTTPS is served, and plain HTTP only sends clients on to it")
                .fix("name https_port and http_port in [settings.tls] instead")),
            (Some(tls), None) => Ok(Listen::Secure { addresses, tls: tls.clone() }),
            (None, _) if self.tls => Err(Failure::new("there is no certificate to serve HTTPS with")
                .why("the config has no cert_file and key_file, and obtaining one (ACME) is not supported yet")
                .fix("add [settings.tls] with cert_file = \"chain.pem\" and key_file = \"key.pem\"")),
            (None, port) => {
                let port = port.unwrap_or(PORT);
                let at = |ip: IpAddr| SocketAddr::new(ip, port);
                Ok(Listen::Plain(addresses.into_iter().map(at).collect()))
            }
        }
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
        at: Where,
    }

    fn listen(line: &str) -> Vec<String> {
        let typed = Typed::parse_from(line.split_whitespace());
        let listen = typed.at.listen(None).unwrap();
        listen.addresses().iter().map(SocketAddr::to_string).collect()
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
