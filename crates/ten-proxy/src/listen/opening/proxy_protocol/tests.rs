//! Headers as the text has them, and what is close to one.

use proptest::prelude::*;

use super::*;

fn client(address: &str) -> Source {
    Source::Client(address.parse().unwrap())
}

fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = (block.len() as u16).to_be_bytes();
    [V2_SIGNATURE, &[command, family], &length, block].concat()
}

const INET: &[u8] = &[192, 0, 2, 1, 192, 0, 2, 2, 0x1f, 0x90, 0, 80];

#[test]
fn lines_of_version_1_are_read() {
    for (line, source) in [
        ("PROXY TCP4 192.0.2.1 192.0.2.2 8080 80\r\n", client("192.0.2.1:8080")),
        ("PROXY TCP4 255.255.255.255 255.255.255.255 65535 0\r\n", client("255.255.255.255:65535")),
        ("PROXY TCP6 2001:db8::1 ::1 8080 80\r\n", client("[2001:db8::1]:8080")),
        ("PROXY UNKNOWN\r\n", Source::Unknown),
        ("PROXY UNKNOWN whatever comes 0 00\r\n", Source::Unknown),
    ] {
        let len = line.len();
        let bytes = format!("{line}GET / HTTP/1.1\r\n");
        assert_eq!(parse(bytes.as_bytes()), Parsed::Header { source, len }, "{line}");
        for end in 0..len {
            assert_eq!(parse(&line.as_bytes()[..end]), Parsed::Incomplete, "{line} to {end}");
        }
    }
}

#[test]
fn what_is_close_to_version_1_is_refused() {
    for line in [
        "PROXY\r\n",
        "PROXY \r\n",
        "PROXY  TCP4 192.0.2.1 192.0.2.2 8080 80\r\n",
        "PROXY TCP4  192.0.2.1 192.0.2.2 8080 80\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 8080 80 \r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 8080 80\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 8080\r\n",
        "PROXY TCP4 192.0.2.01 192.0.2.2 8080 80\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 08080 80\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 +8080 80\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 65536 80\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2  80\r\n",
        "PROXY TCP4 ::1 ::1 8080 80\r\n",
        "PROXY TCP6 192.0.2.1 192.0.2.2 8080 80\r\n",
        "PROXY TCP6 fe80::1%eth0 ::1 8080 80\r\n",
        "PROXY TCP5 192.0.2.1 192.0.2.2 8080 80\r\n",
        "PROXY UDP4 192.0.2.1 192.0.2.2 8080 80\r\n",
        "PROXY UNKNOWNS\r\n",
        "proxy TCP4 192.0.2.1 192.0.2.2 8080 80\r\n",
        " PROXY TCP4 192.0.2.1 192.0.2.2 8080 80\r\n",
        "GET / HTTP/1.1\r\n",
    ] {
        assert_eq!(parse(line.as_bytes()), Parsed::Invalid, "{line:?}");
    }
}

#[test]
fn a_line_of_version_1_has_107_bytes_at_most() {
    let line = |length: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(length - 16));
    let (source, len) = (Source::Unknown, V1_MAX);
    assert_eq!(parse(line(V1_MAX).as_bytes()), Parsed::Header { source, len });
    assert_eq!(parse(line(V1_MAX + 1).as_bytes()), Parsed::Invalid);
    assert_eq!(parse(&line(200).as_bytes()[..V1_MAX - 1]), Parsed::Incomplete);
    assert_eq!(parse(&line(200).as_bytes()[..V1_MAX]), Parsed::Invalid);
}

#[test]
fn headers_of_version_2_are_read() {
    let mut inet6 = [0; 36];
    inet6[15] = 1;
    inet6[32] = 0x1f;
    inet6[33] = 0x90;
    let more = [INET, &[0x04, 0x00, 0x01, 0xff]].concat();
    for (header, source) in [
        (v2(0x21, 0x11, INET), client("192.0.2.1:8080")),
        (v2(0x21, 0x11, &more), client("192.0.2.1:8080")),
        (v2(0x21, 0x21, &inet6), client("[::1]:8080")),
        (v2(0x21, 0x31, &[b'x'; 216]), Source::Unknown),
        (v2(0x21, 0x00, &[]), Source::Unknown),
        (v2(0x20, 0x00, &[]), Source::Proxy),
        (v2(0x20, 0xff, INET), Source::Proxy),
    ] {
        let len = header.len();
        let bytes = [&header, &b"GET / HTTP/1.1\r\n"[..]].concat();
        assert_eq!(parse(&bytes), Parsed::Header { source, len }, "{header:?}");
        for end in 0..len {
            assert_eq!(parse(&header[..end]), Parsed::Incomplete, "{header:?} to {end}");
        }
    }
}

#[test]
fn what_is_close_to_version_2_is_refused() {
    for header in [
        v2(0x11, 0x11, INET),
        v2(0x31, 0x11, INET),
        v2(0x22, 0x11, INET),
        v2(0x21, 0x12, INET),
        v2(0x21, 0x22, &[0; 36]),
        v2(0x21, 0x41, INET),
        v2(0x21, 0x10, INET),
        v2(0x21, 0x01, &[]),
        v2(0x21, 0x11, &INET[..11]),
        v2(0x21, 0x21, &[0; 35]),
        v2(0x21, 0x31, &[0; 215]),
        v2(0x21, 0x11, &[0; V2_MAX]),
        b"\r\n\r\n\0\r\nQUIT\r".to_vec(),
        b"\r\nGET / HTTP/1.1\r\n".to_vec(),
    ] {
        assert_eq!(parse(&header), Parsed::Invalid, "{header:?}");
    }
}

proptest! {
    /// No bytes make it panic or claim more than there is, and what is decided stays so.
    #[test]
    fn any_bytes_are_decided_once(
        start in prop::sample::select(vec![&b""[..], V1_START, b"PROXY TCP4 ", V2_SIGNATURE, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"]),
        rest in prop::collection::vec(any::<u8>(), 0..64),
        more in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let bytes = [start, &rest[..]].concat();
        let parsed = parse(&bytes);
        if let Parsed::Header { len, .. } = parsed {
            prop_assert!(len <= bytes.len());
        }
        if parsed != Parsed::Incomplete {
            prop_assert_eq!(parse(&[bytes, more].concat()), parsed);
        }
    }
}

/// The same, guided by coverage where `cargo bolero` runs it.
#[test]
fn any_bytes() {
    bolero::check!().with_iterations(20_000).for_each(|bytes: &[u8]| {
        for start in [
            &b""[..],
            V1_START,
            b"PROXY TCP4 192.0.2.1 ",
            V2_SIGNATURE,
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0",
        ] {
            let bytes = [start, bytes].concat();
            let parsed = parse(&bytes);
            match parsed {
                Parsed::Header { len, .. } => assert!(len <= bytes.len()),
                Parsed::Incomplete => assert!(bytes.len() < V2_MAX),
                Parsed::Invalid => {}
            }
            for end in 0..bytes.len() {
                // What is decided stays so, and is not decided before it is seen.
                let early = parse(&bytes[..end]);
                assert!(early == Parsed::Incomplete || early == parsed, "{bytes:?} to {end}");
            }
        }
    });
}
