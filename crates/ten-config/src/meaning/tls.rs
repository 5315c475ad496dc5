//! `[settings.tls]`.

use ten_domain::TlsSettings;

use super::Meaning;
use crate::{mistakes::Mistake, typed::Section};

/// With which files HTTPS is served; `None` where none are named.
pub(super) fn tls(m: &mut Meaning<'_>, section: &Section) -> Option<TlsSettings> {
    let enabled = section.boolean("enabled");
    let (https_port, http_port) = (section.number("https_port"), section.number("http_port"));
    same_port(m, section, https_port, http_port);
    let files = ["cert_file", "key_file"].map(|key| (key, section.place(key)));
    match files {
        [(_, Some(_)), (_, Some(_))] => {}
        [(_, None), (_, None)] => {
            if let Some(at) = section.place("enabled").filter(|_| enabled) {
                m.mistakes.push(
                    Mistake::at(at, "there is no certificate to serve HTTPS with")
                        .label("obtaining one from an authority (ACME) is not supported yet")
                        .help("name your own: cert_file = \"chain.pem\", key_file = \"key.pem\""),
                );
            }
            return None;
        }
        [(given, Some(at)), (other, _)] | [(other, _), (given, Some(at))] => {
            m.mistakes.push(
                Mistake::at(at, format!("`{given}` is of no use without `{other}`"))
                    .help(format!("add {other} = \"FILE\"; it may be the same file")),
            );
            return None;
        }
    }
    let [cert_file, key_file] =
        ["cert_file", "key_file"].map(|key| m.path(key, section.text(key)?));
    Some(TlsSettings { enabled, https_port, http_port, cert_file: cert_file?, key_file: key_file? })
}

fn same_port(m: &mut Meaning<'_>, section: &Section, https: u16, http: u16) {
    if https != http || https == 0 {
        return;
    }
    let places = (section.place("https_port"), section.place("http_port"));
    let title = format!("https_port and http_port are both {https}");
    let mistake = match places {
        (Some(at), Some(other)) => Mistake::at(at, title).also(other, "the same port"),
        (Some(at), None) | (None, Some(at)) => Mistake::at(at, title),
        // The defaults differ.
        (None, None) => return,
    };
    m.mistakes.push(mistake.help("choose another one for one of them"));
}
