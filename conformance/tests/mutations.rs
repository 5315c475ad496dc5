//! Requests with a few bytes changed, thousands of them, the same in every run: whatever ten
//! makes of one, the backend gets what the strict parser finds in it, or nothing.

use ten_conformance::{Echo, HOST, nothing_else, raw::WHOLE, strict};

/// As many as take a few seconds.
const MUTANTS: usize = 3_000;
const SEED: u64 = 0x51ee_d0b5_1234_9876;

/// What is put in: what parsers stumble over.
const PIECES: [&[u8]; 30] = [
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b" ",
    b"\t",
    b"\0",
    b"\x0b",
    b"\x7f",
    b"\xff",
    b":",
    b";",
    b",",
    b"0",
    b"1",
    b"5",
    b"f",
    b"-",
    b"+",
    b"_",
    b"\"",
    b"0\r\n\r\n",
    b"x",
    b"\r\n ",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Length: 0\r\n",
    b"chunked",
    b"HTTP/1.1",
    b"GET / HTTP/1.1\r\n",
];

/// xorshift64: no randomness, only variety.
struct Variety(u64);

impl Variety {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap_or(0)
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len());
        let end = (at + 1 + self.below(12)).min(bytes.len());
        match self.below(4) {
            0 => drop(bytes.drain(at..end)),
            1 => bytes[at] = PIECES[self.below(PIECES.len())][0],
            2 => {
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            _ => {
                let piece = PIECES[self.below(PIECES.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
        }
    }
}

fn seeds() -> Vec<Vec<u8>> {
    [
        "GET /a HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "GET /a?b HTTP/1.0\r\nHost: {host}\r\nConnection: keep-alive\r\n\r\n",
        "POST /b HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\n\r\nhello",
        "POST /b HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\nX: y\r\n\r\nhelloGET /c HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: {host}\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n",
        "PUT /d HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nTrailer: T\r\n\r\na\r\n0123456789\r\n0\r\nT: x\r\n\r\n",
        "POST /e HTTP/1.1\r\nHost: {host}\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
        "GET /f HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "GET http://{host}/g HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n\r\n",
    ]
    .map(|text| text.replace("{host}", HOST).into_bytes())
    .into()
}

#[test]
fn changed_bytes_never_become_other_requests() {
    let (mut echo, mut variety) = (Echo::start("", ""), Variety(SEED));
    let (seeds, mut wrong, mut tried) = (seeds(), Vec::new(), 0);
    while tried < MUTANTS {
        let mut mutant = seeds[variety.below(seeds.len())].clone();
        for _ in 0..=variety.below(5) {
            variety.mutate(&mut mutant);
        }
        // Half a request keeps ten waiting, and us; there are cases for that elsewhere.
        let victim = format!("GET /v HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
        let (_, rest) = strict::requests(&[&mutant, victim.as_bytes()].concat());
        if matches!(rest, strict::Rest::Part(_)) {
            continue;
        }
        tried += 1;
        if let Err(what) = nothing_else(&mut echo, &mutant, WHOLE) {
            wrong.push(format!("{}\n    {what}", mutant.escape_ascii()));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
