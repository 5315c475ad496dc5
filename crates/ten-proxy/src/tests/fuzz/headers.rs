//! Headers on their way in and out.

use std::collections::BTreeSet;

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::{collection::vec, prelude::*, sample::select};

use super::cases;
use crate::{
    head::{Fields, trim},
    headers::{Origin, Peer, Told, to_client, to_instance, wants_trailers, wish},
};

const PEER: &str = "192.0.2.7";
const ID: &str = "0123456789abcdef";
const OWN_HOST: &str = "a.api.example.com";

/// Of the connection; nothing of them passes.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];
/// Said by nobody but us, in any spelling that CGI would read so.
const CLAIMS: [&str; 14] = [
    "forwarded",
    "x-forwarded",
    "x-forwarded-for",
    "x_forwarded_for",
    "x-forwarded_for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-anything",
    "x-real-ip",
    "x_real_ip",
    "x-request-id",
    "x_request-id",
    "proxy",
];
/// For the end of the way, whatever `Connection` says.
const LASTING: [&str; 9] = [
    "host",
    "content-length",
    "content-type",
    "authorization",
    "cookie",
    "set-cookie",
    "origin",
    "range",
    "expect",
];
const OTHERS: [&str; 5] = ["accept", "x-own", "x-forwarde", "forwarded2", "x"];

fn header() -> impl Strategy<Value = (HeaderName, HeaderValue)> {
    let known: Vec<&str> = [&HOP_BY_HOP[..], &CLAIMS, &LASTING, &OTHERS].concat();
    let option = prop_oneof![
        4 => select(known.clone()).prop_map(str::to_owned),
        1 => select(vec!["close", "keep-alive", "", " ", "a b", "\"x", "X-OWN", "X-Forwarded-For"])
            .prop_map(str::to_owned),
    ];
    let options = vec((option, select(vec![",", ", ", " , ", ";", "\t,"])), 0..5);
    let options = options.prop_map(|options| {
        options.into_iter().map(|(option, sign)| option + sign).collect::<String>().into_bytes()
    });
    let any_value = vec(prop_oneof![0x20..0x7f_u8, Just(b'\t'), 0x80..=0xff_u8], 0..12);
    let te = select(vec![&b"trailers"[..], b"gzip, trailers", b"Trailers;q=1", b"gzip"]);
    let value = prop_oneof![options.clone(), any_value, te.prop_map(<[u8]>::to_vec)];
    let pair = prop_oneof![
        4 => (select(known).prop_map(str::to_owned), value.clone()),
        3 => (Just("connection".to_owned()), options),
        1 => ("[a-z][a-z0-9_-]{0,9}", value),
    ];
    pair.prop_filter_map("no header", |(name, value)| {
        Some((HeaderName::try_from(name).ok()?, HeaderValue::from_bytes(trim(&value)).ok()?))
    })
}

fn headers() -> impl Strategy<Value = HeaderMap> {
    vec(header(), 0..12).prop_map(|pairs| {
        pairs.into_iter().fold(HeaderMap::new(), |mut map, (n, v)| {
            map.append(n, v);
            map
        })
    })
}

fn fields(headers: &HeaderMap) -> Fields {
    Fields::of(headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())))
}

/// What `Connection` nominates, and may.
fn nominated(headers: &HeaderMap) -> BTreeSet<String> {
    let values = headers.get_all("connection").iter().filter_map(|value| value.to_str().ok());
    let options = values.flat_map(|value| value.split(',')).map(|o| o.trim().to_ascii_lowercase());
    options.collect()
}

fn is_claim(name: &HeaderName) -> bool {
    let name = name.as_str().replace('_', "-");
    CLAIMS.contains(&&*name) || name.starts_with("x-forwarded-")
}

fn values<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a [u8]> {
    headers.get_all(name).iter().map(HeaderValue::as_bytes).collect()
}

/// What is neither of the connection nor ours passes as it is, unless it is nominated.
fn rest_is_kept(before: &HeaderMap, after: &HeaderMap, claims: bool) -> Result<(), TestCaseError> {
    let nominated = nominated(before);
    for name in before.keys().chain(after.keys()) {
        let plain = name.as_str();
        if HOP_BY_HOP.contains(&plain) || claims && is_claim(name) {
            continue;
        }
        if nominated.contains(plain) && !LASTING.contains(&plain) {
            prop_assert!(!after.contains_key(name), "{name} was nominated");
        } else {
            prop_assert_eq!(values(before, plain), values(after, plain), "{}", name);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(20_000))]

    #[test]
    fn an_instance_is_told_the_truth(mut headers in headers(), host in any::<bool>(), switch in any::<bool>()) {
        headers.remove("host");
        if host {
            headers.insert("host", HeaderValue::from_static(OWN_HOST));
        }
        let before = headers;
        let peer = Peer::new(format!("{PEER}:1").parse().unwrap());
        let origin = Origin::peer(PEER.parse().unwrap());
        let upgrade = switch.then_some(&b"websocket"[..]);
        let told = Told { peer: &peer, origin: &origin, id: ID.as_bytes() };
        let (mut headers, before_it) = (HeaderMap::new(), fields(&before));
        to_instance(&before_it, told, &mut headers);
        wish(&before_it, upgrade, &mut headers);

        let forwarded = format!("for={PEER};host=\"{OWN_HOST}\";proto=http");
        let ours = [
            ("x-forwarded-for", Some(PEER)),
            ("x-forwarded-proto", Some("http")),
            ("x-request-id", Some(ID)),
            ("x-forwarded-host", host.then_some(OWN_HOST)),
            ("forwarded", host.then_some(&*forwarded)),
            ("upgrade", switch.then_some("websocket")),
        ];
        for (name, value) in ours {
            let expected: Vec<&[u8]> = value.iter().map(|value| value.as_bytes()).collect();
            prop_assert_eq!(values(&headers, name), expected, "{}", name);
        }
        let options = [(wants_trailers(&before_it), &b"TE"[..]), (switch, b"upgrade")];
        let options: Vec<_> = options.iter().filter(|(is, _)| *is).map(|(_, option)| *option).collect();
        prop_assert_eq!(values(&headers, "connection"), options);
        for name in headers.keys() {
            let known = name == "connection" || ours.iter().any(|(own, _)| *own == name.as_str());
            prop_assert!(known || !is_claim(name), "{name} was not said by us");
            let hop = HOP_BY_HOP.contains(&name.as_str());
            prop_assert!(known || !hop || values(&headers, name.as_str()) == [b"trailers"], "{name}");
        }
        rest_is_kept(&before, &headers, true)?;
    }

    #[test]
    fn a_client_is_told_nothing_of_the_connection(before in headers()) {
        let mut headers = HeaderMap::new();
        to_client(&fields(&before), false, &mut headers);
        for name in headers.keys() {
            prop_assert!(!HOP_BY_HOP.contains(&name.as_str()), "{name}");
        }
        rest_is_kept(&before, &headers, false)?;
    }
}
