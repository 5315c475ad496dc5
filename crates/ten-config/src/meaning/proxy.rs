//! `[settings.proxy]` and the settings beside it that say how clients are treated.

use std::net::IpAddr;

use ipnet::IpNet;
use ten_domain::ProxySettings;

use super::{Meaning, words};
use crate::{
    keys,
    mistakes::Mistake,
    typed::{Section, Text},
};

pub(super) fn proxy(m: &mut Meaning<'_>, settings: &Section) -> ProxySettings {
    let absent = Section::new(keys::PROXY);
    let section = settings.table("proxy").unwrap_or(&absent);
    ProxySettings {
        head_timeout: section.seconds("head_timeout"),
        idle_timeout: section.seconds("idle_timeout"),
        body_timeout: section.seconds("body_timeout"),
        min_body_rate: section.number("min_body_rate"),
        max_head_bytes: section.number("max_head_bytes"),
        max_headers: section.number("max_headers"),
        max_connections: section.number("max_connections"),
        max_connections_per_ip: section.number("max_connections_per_ip"),
        max_streams: section.number("max_streams"),
        max_useless_frames: section.number("max_useless_frames"),
        useless_frames_per_second: section.number("useless_frames_per_second"),
        max_new_instances_per_ip: section.number("max_new_instances_per_ip"),
        drain_timeout: section.seconds("drain_timeout"),
        trusted_proxies: trusted_proxies(m, settings),
        proxy_protocol: proxy_protocol(m, settings),
        access_log: words::access_log(settings.word("access_log")),
        error_pages: section.text("error_pages").and_then(|text| m.path("error_pages", text)),
    }
}

fn trusted_proxies(m: &mut Meaning<'_>, settings: &Section) -> Vec<IpNet> {
    let texts = settings.texts("trusted_proxies").unwrap_or_default();
    texts.iter().filter_map(|text| network(m, text)).collect()
}

/// An address or a network, in the form in which addresses are compared.
fn network(m: &mut Meaning<'_>, text: &Text) -> Option<IpNet> {
    let typed = text.value.as_str();
    let address = || typed.parse::<IpAddr>().map(IpNet::from);
    let Ok(network) = typed.parse::<IpNet>().or_else(|_| address()) else {
        m.mistakes.push(
            Mistake::at(text.span.clone(), format!("{typed:?} is no address and no network"))
                .help("write an address, \"192.0.2.1\" or \"::1\", or a network, \"10.0.0.0/8\""),
        );
        return None;
    };
    if let Some(mapped) = ipv4_mapped(network) {
        m.mistakes.push(
            Mistake::at(text.span.clone(), format!("{typed:?} is IPv4, written as IPv6"))
                .label("clients of IPv4 are known by their IPv4 addresses")
                .help(format!("write {:?}", spelt(mapped.trunc()))),
        );
        return None;
    }
    if network != network.trunc() {
        let (whole, one) = (spelt(network.trunc()), network.addr().to_string());
        m.mistakes.push(
            Mistake::at(text.span.clone(), format!("{typed:?} is no network"))
                .label(format!("its address has bits beyond the first {}", network.prefix_len()))
                .help(format!("write {whole:?} for the network, or {one:?} for the one address")),
        );
        return None;
    }
    Some(network)
}

/// What a network of `::ffff:0:0/96` (RFC 4291, section 2.5.5.2) is in IPv4.
fn ipv4_mapped(network: IpNet) -> Option<IpNet> {
    let IpNet::V6(six) = network else { return None };
    let four = six.addr().to_ipv4_mapped()?;
    IpNet::new(four.into(), six.prefix_len().checked_sub(96)?).ok()
}

/// One address without its length.
fn spelt(network: IpNet) -> String {
    let one = network.prefix_len() == network.max_prefix_len();
    if one { network.addr().to_string() } else { network.to_string() }
}

/// Nobody may begin with the header where nobody is trusted: then it is an oversight.
fn proxy_protocol(m: &mut Meaning<'_>, settings: &Section) -> bool {
    let wanted = settings.boolean("proxy_protocol");
    let nobody = match settings.place("trusted_proxies") {
        Some(_) => settings.texts("trusted_proxies").is_some_and(<[_]>::is_empty),
        None => true,
    };
    if wanted && nobody {
        let at = settings.place("proxy_protocol").expect("it is not the default");
        m.mistakes.push(
            Mistake::at(at, "`proxy_protocol` has no effect without `trusted_proxies`")
                .label("nobody may send its header")
                .help("add trusted_proxies = [\"10.0.0.0/8\"], the addresses of your balancer"),
        );
    }
    wanted
}
