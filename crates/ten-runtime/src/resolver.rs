//! Whom an instance with a private network asks for names: its /etc/resolv.conf
//! (resolv.conf(5)).
//!
//! The host's own may name somebody who is out of reach there: a stub on the loopback address,
//! as systemd-resolved has, or a cloud's link-local one. Then the file in which systemd-resolved
//! names those that it asks itself is taken, and where that does not help, nothing is guessed.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
};

use crate::PlanError;

/// Where programs look.
pub(crate) const FILE: &str = "/etc/resolv.conf";
/// Whom systemd-resolved asks itself (systemd-resolved(8)).
const BEHIND_STUB: &str = "/run/systemd/resolve/resolv.conf";

/// The content of the file inside.
pub(crate) fn text(asked: Option<&[Ipv4Addr]>) -> Result<String, PlanError> {
    let Some(asked) = asked else {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let files = [read(FILE), read(BEHIND_STUB)];
        return files.iter().find_map(|text| reachable(text)).ok_or_else(|| {
            let named: Vec<_> = files[0].lines().filter_map(nameserver).collect();
            PlanError::NoNameserver { unreachable: named.join(", ") }
        });
    };
    match asked.iter().find(|address| !ten_kernel::uplink_reaches(**address)) {
        Some(address) => Err(PlanError::Nameserver { address: *address }),
        None => Ok(asked.iter().map(|address| format!("nameserver {address}\n")).collect()),
    }
}

/// The same without the name servers that are out of reach; `None` where no other is named.
fn reachable(text: &str) -> Option<String> {
    let mut found = false;
    let mut kept = String::new();
    for line in text.lines() {
        match nameserver(line).map(|address| address.parse::<IpAddr>()) {
            Some(Ok(IpAddr::V4(address))) if ten_kernel::uplink_reaches(address) => found = true,
            Some(_) => continue,
            None => {}
        }
        kept.push_str(line);
        kept.push('\n');
    }
    found.then_some(kept)
}

/// What a line names after `nameserver`.
fn nameserver(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    (words.next() == Some("nameserver")).then(|| words.next())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_can_be_reached_is_kept() {
        let host = "# a comment\nnameserver 127.0.0.53\nnameserver\t10.0.0.2\nnameserver ::1\n\
                    nameserver 169.254.169.253\nsearch example.com\noptions edns0\n";
        let kept = "# a comment\nnameserver\t10.0.0.2\nsearch example.com\noptions edns0\n";
        assert_eq!(reachable(host).as_deref(), Some(kept));
        for none in ["", "nameserver 127.0.0.53\n", "search example.com\n", "nameserver fe80::1\n"]
        {
            assert_eq!(reachable(none), None, "{none}");
        }
    }

    #[test]
    fn what_is_asked_for_is_used_or_refused() {
        let asked = |text: &str| text.parse::<Ipv4Addr>().unwrap();
        let text = |list: &[Ipv4Addr]| text(Some(list)).map_err(|error| error.to_string());
        assert_eq!(
            text(&[asked("9.9.9.9"), asked("10.0.0.2")]).unwrap(),
            "nameserver 9.9.9.9\nnameserver 10.0.0.2\n"
        );
        assert_eq!(text(&[]).unwrap(), "");
        assert!(text(&[asked("127.0.0.1")]).unwrap_err().contains("127.0.0.1"));
    }
}
