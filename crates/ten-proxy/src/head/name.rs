//! The names of headers that mean something to a proxy, told apart once.

/// What is known of a header by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    Host,
    ContentLength,
    TransferEncoding,
    Connection,
    Te,
    Upgrade,
    Expect,
    Cookie,
    Date,
    /// Others of the one connection they came on (RFC 9110, section 7.6.1, and those that older
    /// texts name). `Trailer` is not one: it announces fields of the message itself.
    Hop,
    /// What nobody may say but a trusted proxy: all of `X-Forwarded-*`, `Forwarded`, `X-Real-IP`,
    /// `X-Request-Id`; and `Proxy`, which CGI turns into `HTTP_PROXY` (httpoxy). Names count in
    /// their spelling with `_` too: WSGI and CGI read both as one variable.
    Claim,
    /// Everything else.
    Other,
}

impl Name {
    /// Of the name as it was written.
    pub(crate) fn of(name: &[u8]) -> Self {
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        let found = match name.len() {
            2 => (Self::Te, is(b"te")),
            4 if is(b"date") => (Self::Date, true),
            4 => (Self::Host, is(b"host")),
            5 => (Self::Claim, is(b"proxy")),
            6 if is(b"expect") => (Self::Expect, true),
            6 => (Self::Cookie, is(b"cookie")),
            7 => (Self::Upgrade, is(b"upgrade")),
            9 => (Self::Claim, is(b"forwarded") || is_read_as(name, b"x-real-ip")),
            10 if is(b"connection") => (Self::Connection, true),
            10 => (Self::Hop, is(b"keep-alive")),
            11 => (Self::Claim, is_read_as(name, b"x-forwarded")),
            14 if is(b"content-length") => (Self::ContentLength, true),
            14 if is(b"http2-settings") => (Self::Hop, true),
            16 if is(b"proxy-connection") => (Self::Hop, true),
            17 if is(b"transfer-encoding") => (Self::TransferEncoding, true),
            18 if is(b"proxy-authenticate") => (Self::Hop, true),
            19 if is(b"proxy-authorization") => (Self::Hop, true),
            12.. => (Self::Claim, is_long_claim(name)),
            _ => (Self::Other, true),
        };
        if found.1 { found.0 } else { Self::Other }
    }

    /// Whether it is of the one connection.
    pub(crate) fn is_hop_by_hop(self) -> bool {
        use Name::{Connection, Hop, Te, TransferEncoding, Upgrade};
        matches!(self, Connection | Hop | Te | TransferEncoding | Upgrade)
    }
}

fn is_long_claim(name: &[u8]) -> bool {
    const FORWARDED: &[u8] = b"x-forwarded-";
    // Most names end here.
    matches!(name[0], b'x' | b'X')
        && (is_read_as(&name[..FORWARDED.len()], FORWARDED) || is_read_as(name, b"x-request-id"))
}

/// Whether somebody takes `name` for `header`: CGI and WSGI write `-` as `_`, and so make one
/// variable of both.
pub(crate) fn is_read_as(name: &[u8], header: &[u8]) -> bool {
    let same = |(a, b): (&u8, &u8)| a.eq_ignore_ascii_case(b) || *a == b'_' && *b == b'-';
    name.len() == header.len() && name.iter().zip(header).all(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_every_spelling() {
        for (name, known) in [
            ("Host", Name::Host),
            ("TE", Name::Te),
            ("content-LENGTH", Name::ContentLength),
            ("content_length", Name::Other),
            ("X-Forwarded-For", Name::Claim),
            ("x_forwarded_anything", Name::Claim),
            ("x-forwarded-", Name::Claim),
            ("x-forwarde", Name::Other),
            ("X_Real-IP", Name::Claim),
            ("x-request_id", Name::Claim),
            ("x-request-idx", Name::Other),
            ("Forwarded", Name::Claim),
            ("Keep-Alive", Name::Hop),
            ("HTTP2-Settings", Name::Hop),
            ("Proxy", Name::Claim),
            ("a", Name::Other),
            ("accept", Name::Other),
        ] {
            assert_eq!(Name::of(name.as_bytes()), known, "{name}");
        }
    }
}
