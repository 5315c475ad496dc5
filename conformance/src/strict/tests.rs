use super::*;

fn outcome(bytes: &[u8]) -> (usize, Rest) {
    let (found, rest) = requests(bytes);
    (found.len(), rest)
}

#[test]
fn requests_are_told_apart() {
    let two = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\nPOST /b HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\nhi";
    let (found, rest) = requests(two);
    let lines: Vec<_> = found.iter().map(Request::line).collect();
    assert_eq!((lines, rest), (vec!["GET /a".into(), "POST /b".into()], Rest::Nothing));
    assert_eq!(found[1].body, b"hi");
    assert_eq!(outcome(&two[..two.len() - 1]), (1, Rest::Part(49)));
}

#[test]
fn chunks_are_put_together() {
    let head = "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n";
    let (found, rest) =
        requests(format!("{head}2;x=y\r\nab\r\n1\r\nc\r\n0\r\nt: 1\r\n\r\n").as_bytes());
    assert_eq!((found.len(), rest), (1, Rest::Nothing));
    assert_eq!(found[0].body, b"abc");
    assert_eq!(found[0].trailers, [("t".to_owned(), b"1".to_vec())]);
    for bad in ["0x2\r\nab\r\n", "\r\n", "2\nab\r\n", "2\r\nabc\r\n", "00000000000000002\r\nab\r\n"]
    {
        let fault = outcome(format!("{head}{bad}").as_bytes());
        assert!(matches!(fault, (0, Rest::Fault(_))), "{bad:?}: {fault:?}");
    }
}

#[test]
fn what_has_two_meanings_is_a_fault() {
    for bad in [
        "content-length: 1\r\ntransfer-encoding: chunked\r\n",
        "content-length: 1\r\ncontent-length: 1\r\n",
        "content-length: +1\r\n",
        "content-length: 01\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "content-length : 1\r\n",
        " folded: 1\r\n",
        "a: b\nc: d\r\n",
        "host: other\r\n",
    ] {
        let fault = outcome(format!("POST / HTTP/1.1\r\nhost: h\r\n{bad}\r\n").as_bytes());
        assert!(matches!(fault, (0, Rest::Fault(_))), "{bad:?}: {fault:?}");
    }
}
