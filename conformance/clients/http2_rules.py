"""What RFC 9113 says, section by section, and what must come of those who do not keep to it.

`http2_rules.py ADDRESS HOST` tries each case on a connection of its own and writes `N REACHED`:
whether the Nth one, which says N in its header `x-case`, reached the instance as a whole request
(`yes`, `no`, `maybe`). It ends with 1, and the cases that came out otherwise.
"""

import struct
import sys

from http2 import (
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, HELLO, PADDED, PING,
    PREFACE, PRIORITIZED, PRIORITY, PUSH, RST_STREAM, SETTINGS, WINDOW,
    Connection, block, data, frame, headers, request, reset, setting, window,
)  # fmt: skip

ADDRESS, HOST = sys.argv[1:]
CASES = []

PROTOCOL, SIZE, FLOW = "PROTOCOL_ERROR", "FRAME_SIZE_ERROR", "FLOW_CONTROL_ERROR"
SERVED = ("200",)
BROKEN = (f"goaway {PROTOCOL}",)
# A recipient may treat an error of a stream as one of the connection (section 5.4.1), and often
# does not say which error it was.
MALFORMED = f"reset {PROTOCOL}", "400", *BROKEN
WRONG_SIZE = f"goaway {SIZE}", *BROKEN
STREAM_CLOSED = "reset STREAM_CLOSED", "goaway STREAM_CLOSED", *BROKEN


def case(name, expected, *frames, hello=HELLO, stream=1, pieces=False):
    """`frames` that are requests say the case's number, which is that of those before it."""
    CASES.append((name, expected, hello + b"".join(frames), stream, pieces))


def fields(*more, pseudo=None, method="GET", path="/"):
    pseudo = request(HOST, path, method) if pseudo is None else pseudo
    return [*pseudo, ("x-case", str(len(CASES))), *more]


def get(*more, stream=1, end=True, flags=END_HEADERS, **kinds):
    return headers(fields(*more, **kinds), stream, end, flags)


def post(*more, stream=1, flags=END_HEADERS):
    return get(*more, stream=stream, end=False, flags=flags, method="POST")


def without(name):
    return [field for field in request(HOST) if field[0] != name]


def instead(name, value):
    return [(n, value if n == name else v) for n, v in request(HOST)]


def trailers(*fields):
    return headers(fields, end=True)


# 3. Starting.
case("a request", SERVED, get())
case("a preface in single bytes", SERVED, get(), pieces=True)
case("a broken preface", ("HTTP/1.1 400",), get(), hello=b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n")
case("the preface of another version", ("HTTP/1.1 400",), hello=PREFACE.replace(b"2.0", b"3.0"))
case(
    "HTTP/1.1 behind the preface",
    (f"goaway {PROTOCOL}", f"goaway {SIZE}"),
    f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode(),
)
# Who forgets his SETTINGS means those that everybody begins with: nothing depends on the order.
case("no SETTINGS behind the preface", SERVED + BROKEN, get(), hello=PREFACE)
case(
    "an upgrade to h2c",
    ("HTTP/1.1 200",),
    f"GET / HTTP/1.1\r\nHost: {HOST}\r\nx-case: {len(CASES)}\r\nConnection: Upgrade, HTTP2-Settings"
    "\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n".encode(),
    hello=b"",
)

# 4. Frames.
case("a frame of an unknown type", SERVED, frame(22, 255, 0, b"?" * 99), get())
case("unknown flags", SERVED, frame(PING, 0xFE, 0, bytes(8)), get())
case("the reserved bit", SERVED, frame(PING, 0, 1 << 31, bytes(8)), get())
case("DATA that is too long", WRONG_SIZE, post(), data(bytes(16385)))
case("HEADERS that are too long", WRONG_SIZE, get(("x", "x" * 20000)))
case("the longest DATA", SERVED, post(), data(bytes(16384)))
BAD_BLOCK = f"goaway {PROTOCOL}", "goaway COMPRESSION_ERROR"
for name, wrong in {
    "an index of nothing": b"\xff\xff\xff\xff\x0f",
    "index 0": b"\x80",
    "a length beyond the end": b"\0\x7f\xff\xff\x03a",
    "a length of many bytes": b"\0\x7f" + b"\xff" * 20,
    "wrong padding of Huffman's code": b"\0\x81\0\x01a",
    "a table larger than allowed": b"\x3f\xff\xff\x7f",
}.items():
    case(f"HPACK: {name}", BAD_BLOCK, frame(HEADERS, 5, 1, block(fields()) + wrong))
case("PRIORITY in a header block", BROKEN, get(flags=0), frame(PRIORITY, 0, 1, bytes(5)))
case("an unknown frame in a header block", BROKEN, get(flags=0), frame(22, 0, 0))
case("HEADERS in a header block", BROKEN, get(flags=0), get(stream=3))

# 5. Streams.
for name, idle in {
    "DATA": data(b"x"),
    "RST_STREAM": reset(),
    "WINDOW_UPDATE": window(9, 1),
    "CONTINUATION": frame(CONTINUATION, 4, 1, block([("a", "b")])),
}.items():
    case(f"{name} on an idle stream", BROKEN, idle)
for name, late in {
    "DATA": data(b"x"),
    "HEADERS": trailers(("a", "b")),
}.items():
    case(f"{name} behind END_STREAM", STREAM_CLOSED + SERVED, get(), late)
    case(f"{name} behind RST_STREAM", STREAM_CLOSED, post(), reset(), late)
case("CONTINUATION behind END_STREAM", BROKEN, get(), frame(CONTINUATION, 4, 1, b""))
case("an even stream", BROKEN, get(stream=2), stream=2)
case(
    "decreasing streams",
    (f"goaway {PROTOCOL}", "goaway STREAM_CLOSED", "reset STREAM_CLOSED"),
    get(stream=5), get(stream=3), stream=3,
)  # fmt: skip
case("streams that are left out", SERVED, get(stream=99), stream=99)
case(
    "more streams than allowed",
    (f"goaway {PROTOCOL}", "reset REFUSED_STREAM"),
    *(post(stream=2 * n + 1) for n in range(101)), stream=201,
)  # fmt: skip
PRIORITIES = SERVED + MALFORMED
own = struct.pack(">IB", 1, 0)
case("a stream after itself", PRIORITIES, frame(HEADERS, 37, 1, own + block(fields())))
case("PRIORITY after itself", PRIORITIES, frame(PRIORITY, 0, 1, own), get())
last = struct.pack(">IB", 99 | 1 << 31, 255)
case("a priority", SERVED, frame(HEADERS, 5 | PRIORITIZED, 1, last + block(fields())))

# 6. Kinds of frames.
for kind, name in {DATA: "DATA", HEADERS: "HEADERS", CONTINUATION: "CONTINUATION"}.items():
    case(f"{name} on stream 0", BROKEN, frame(kind, 5, 0, block(fields())))
case("PRIORITY on stream 0", BROKEN, frame(PRIORITY, 0, 0, bytes(5)))
case("RST_STREAM on stream 0", BROKEN, reset(0))
case("PUSH_PROMISE", BROKEN, frame(PUSH, 4, 1, struct.pack(">I", 2) + block(request(HOST))))
for kind, name in {SETTINGS: "SETTINGS", PING: "PING", GOAWAY: "GOAWAY"}.items():
    payload = bytes(0 if kind == SETTINGS else 8)
    case(f"{name} on a stream", BROKEN, post(), frame(kind, 0, 1, payload))
case("DATA, padded", SERVED, post(), frame(DATA, PADDED | END_STREAM, 1, b"\x03abc\0\0\0"))
case("DATA, all padding", SERVED, post(), frame(DATA, PADDED | END_STREAM, 1, b"\x03\0\0\0"))
case("DATA, padded beyond its end", BROKEN, post(), frame(DATA, PADDED | 1, 1, b"\x04abc"))
case("HEADERS, padded", SERVED, frame(HEADERS, PADDED | 5, 1, b"\2" + block(fields()) + b"\0\0"))
case("HEADERS, padded beyond their end", BROKEN, frame(HEADERS, PADDED | 5, 1, b"\xffabc"))
case("HEADERS without what their flags say", BROKEN + WRONG_SIZE, frame(HEADERS, 37, 1, b"ab"))
case("PRIORITY of 4 bytes", (f"reset {SIZE}", *WRONG_SIZE), post(), frame(PRIORITY, 0, 1, bytes(4)))
case("RST_STREAM of 3 bytes", WRONG_SIZE, post(), frame(RST_STREAM, 0, 1, bytes(3)))
case("SETTINGS of 5 bytes", WRONG_SIZE, frame(SETTINGS, 0, 0, bytes(5)))
case("acknowledged SETTINGS with content", WRONG_SIZE, frame(SETTINGS, ACK, 0, bytes(6)))
case("PING of 7 bytes", WRONG_SIZE, frame(PING, 0, 0, bytes(7)))
case("WINDOW_UPDATE of 3 bytes", WRONG_SIZE, frame(WINDOW, 0, 0, bytes(3)))
case("GOAWAY of 4 bytes", WRONG_SIZE, frame(GOAWAY, 0, 0, bytes(4)))
case("ENABLE_PUSH = 2", BROKEN, setting(2, 2))
case("INITIAL_WINDOW_SIZE = 2^31", (f"goaway {FLOW}", *BROKEN), setting(4, 1 << 31))
case("MAX_FRAME_SIZE = 2^14 - 1", BROKEN, setting(5, (1 << 14) - 1))
case("MAX_FRAME_SIZE = 2^24", BROKEN, setting(5, 1 << 24))
case("an unknown setting", SERVED, setting(0xFF, 7), get())
case("an answer to a PING that was never sent", SERVED, frame(PING, ACK, 0, b"12345678"), get())
case("a window of 0, opened later", SERVED, setting(4, 0), get(), window(99999, 1))
case("WINDOW_UPDATE by 0", BROKEN, window(0))
case("WINDOW_UPDATE of a stream by 0", MALFORMED, post(), window(0, 1))
case("a window beyond 2^31", (f"goaway {FLOW}",), window((1 << 31) - 1))
OVERFLOW = f"reset {FLOW}", f"goaway {FLOW}"
case("a stream's window beyond 2^31", OVERFLOW, post(), window((1 << 31) - 1, 1))
case(
    "streams' windows beyond 2^31 by SETTINGS", (f"goaway {FLOW}",),
    post(), window(1 << 30, 1), setting(4, (1 << 31) - 1),
)  # fmt: skip
case(
    "CONTINUATION", SERVED,
    get(flags=0), frame(CONTINUATION, 0, 1, block([("a", "b")])), frame(CONTINUATION, 4, 1),
)  # fmt: skip
case("CONTINUATION of nothing", BROKEN, post(), frame(CONTINUATION, 4, 1, b""))
case("CONTINUATION of another stream", BROKEN, post(flags=0), frame(CONTINUATION, 4, 3, b""))
case("GOAWAY behind a request", SERVED, get(), frame(GOAWAY, 0, 0, bytes(8)))
case("GOAWAY with an unknown error", SERVED, get(), frame(GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\xff"))
case("RST_STREAM with an unknown error", SERVED, post(), reset(1, 255), get(stream=3), stream=3)

# 8.1. Bodies.
case("a body", SERVED, post(), data(b"hello"))
case("a body in pieces", SERVED, post(), data(b"he", end=False), data(b""))
case("a body of known length", SERVED, post(("content-length", "5")), data(b"hello"))
for name, length in {
    "longer than its length": "4", "shorter than its length": "6", "of no length": "",
    "of a signed length": "+5", "of a hexadecimal length": "0x5", "of a negative length": "-5",
    "of a list of lengths": "5, 5", "of 2^64 bytes": "18446744073709551616",
}.items():  # fmt: skip
    case(f"a body {name}", MALFORMED, post(("content-length", length)), data(b"hello"))
two = [("content-length", "5"), ("content-length", "6")]
case("a body of two lengths", MALFORMED, post(*two), data(b"hello"))
case("a body of two lengths, the other first", MALFORMED, post(*two[::-1]), data(b"hello"))
case("a body of the same length twice", SERVED + MALFORMED, post(two[0], two[0]), data(b"hello"))
# CGI and WSGI make one variable of these and of those with hyphens.
for name in "content_length", "transfer_encoding", "Content_Length":
    case(f"a body and {name}", MALFORMED, post((name, "5")), data(b"hello"))
case("a length without a body", MALFORMED, get(("content-length", "5")))
case("the length of no body", SERVED, get(("content-length", "0")))
case("trailers", SERVED, post(), data(b"hello", end=False), trailers(("x-sum", "7")))
for name, wrong in {
    "Upper": "x", "connection": "close", "transfer-encoding": "a", "a b": "x",
}.items():  # fmt: skip
    end = trailers((name, wrong))
    case(f"{name!r} in trailers", MALFORMED, post(), data(b"hello", end=False), end)
for name in ":path", ":status", "content-length", "host", "authorization":
    # May be refused or dropped: an instance must not find it among its headers.
    end = trailers((name, "5"))
    case(f"{name!r} in trailers", SERVED + MALFORMED, post(), data(b"hello", end=False), end)
half = [post(), headers([("a", "b")], end=False)]
case("trailers that are not the end", MALFORMED, *half)

# 8.2. Fields.
for name, value in {
    "connection": "close", "Connection": "keep-alive", "keep-alive": "5", "proxy-connection": "x",
    "transfer-encoding": "chunked", "upgrade": "websocket", "te": "gzip", "te ": "trailers",
    "Upper": "x", "upPer": "x", "": "x", "a b": "x", "a:b": "x", "a\0": "x", "a\r\nb": "x",
    "\xe9": "x", "a\t": "x", "a(b)": "x",
}.items():  # fmt: skip
    case(f"a header {name!r}: {value}", MALFORMED, get((name, value)))
for value in "a\0b", "a\rb", "a\nb", "a\r\nb: c", "\n", "a\x7f", "a\x01":
    case(f"the value {value!r}", MALFORMED, get(("a", value)))
    case(f"the path /{value!r}", MALFORMED, get(path=f"/{value}"))
    case(f"the cookie {value!r}", MALFORMED, get(("cookie", value)))
for value in " a", "a ", "\ta", "":
    case(f"the value {value!r}", SERVED + MALFORMED, get(("a", value)))
case("te: trailers", SERVED, get(("te", "trailers")))
case("100 headers", SERVED, get(*((f"x-{n}", "x") for n in range(90))))
case("200 headers", ("431",) + MALFORMED, get(*((f"x-{n}", "x") for n in range(200))))
case("one header 200 times", ("431",) + MALFORMED, get(*(("x", "x") for n in range(200))))
long = [frame(CONTINUATION, 0, 1, block([(f"x-{n}", "x" * 16000)])) for n in range(5)]
case(
    "80 KiB of headers", ("431", "reset REFUSED_STREAM", *BROKEN),
    get(flags=0), *long, frame(CONTINUATION, 4, 1),
)  # fmt: skip

# 8.3. Whom a request is for.
case("a pseudo-header behind the others", MALFORMED, get((":path", "/")))
behind = headers([("x-case", str(len(CASES))), *request(HOST)])
case("all pseudo-headers behind the others", MALFORMED, behind)
case("an unknown pseudo-header", MALFORMED, get(pseudo=[*request(HOST), (":x", "y")]))
case("the pseudo-header of an answer", MALFORMED, get(pseudo=[*request(HOST), (":status", "200")]))
for name in ":method", ":scheme", ":path":
    case(f"no {name}", MALFORMED, get(pseudo=without(name)))
for name, value in request(HOST):
    case(f"{name} twice", MALFORMED, get(pseudo=[*request(HOST), (name, value)]))
for path in (
    "", "a", "abc/d", "/a b", "/a\tb", "*", "http://other.localhost/", "/<script>",
    "/a HTTP/1.1\r\nx: y",
):  # fmt: skip
    case(f"the path {path!r}", MALFORMED, get(path=path))
# Without its fragment, and with a slash: as itself it would not pass HTTP/1.1.
for path in "/a#b", "/#", "?x", "/\x80":
    case(f"the path {path!r}", SERVED + MALFORMED, get(path=path))
for path in "//", "/\"", "/?", "/a%00b":
    case(f"the path {path!r}", SERVED, get(path=path))
case("the path '*' of OPTIONS", MALFORMED, get(path="*", method="OPTIONS"))
for method in "", "GET /x", "G\0T", "GET\r\nx: y", "G\xe9T", "CONNECT":
    case(f"the method {method!r}", MALFORMED, get(pseudo=instead(":method", method)))
case("an unknown method", SERVED, get(pseudo=instead(":method", "UNKNOWN")))
case("CONNECT", MALFORMED, get(pseudo=[(":method", "CONNECT"), (":authority", HOST + ":80")]))
extended = [*instead(":method", "CONNECT"), (":protocol", "websocket")]
case("CONNECT with a protocol", MALFORMED, get(pseudo=extended))
case("GET with a protocol", MALFORMED, get(pseudo=[*request(HOST), (":protocol", "websocket")]))
for scheme in "ftp", "", "javascript", "a b", "http:":
    case(f"the scheme {scheme!r}", MALFORMED, get(pseudo=instead(":scheme", scheme)))
case("the scheme https", SERVED, get(pseudo=instead(":scheme", "https")))
for authority in (
    f"user@{HOST}", f"user:pass@{HOST}", "@" + HOST, "", f"{HOST}/x", f"{HOST}?x", f"{HOST}#x",
    f"{HOST} ", f" {HOST}", f"{HOST}:99999", f"{HOST}:x", "a b", "a..b", f"{HOST}\\x",
    f"{HOST}:80:80", f"http://{HOST}", f"{HOST},{HOST}", "[::1", "*",
):  # fmt: skip
    case(f"the authority {authority!r}", MALFORMED, get(pseudo=instead(":authority", authority)))
for authority in HOST.upper(), f"{HOST}:80", f"{HOST}.", f"{HOST}:":
    case(f"the authority {authority!r}", SERVED, get(pseudo=instead(":authority", authority)))
case("another host", ("404",), get(pseudo=instead(":authority", "other.example")))
case("a Host and no :authority", SERVED, get(("host", HOST), pseudo=without(":authority")))
case("neither", MALFORMED, get(pseudo=without(":authority")))
for cookies in [("a=1", "b=2"), ("a=1",), ("", "b=2")]:
    case(f"the cookies {cookies}", SERVED, get(*(("cookie", cookie) for cookie in cookies)))
case("the same host twice", SERVED, get(("host", HOST)))
case("two hosts", MALFORMED, get(("host", "b.echo.localhost")))
other = instead(":authority", "x.localhost")
case("two hosts, the known one second", MALFORMED, get(("host", HOST), pseudo=other))
case("two Hosts", MALFORMED, get(("host", HOST), ("host", HOST), pseudo=without(":authority")))
case("a malformed Host beside :authority", MALFORMED, get(("host", "a b")))
case("an empty Host beside :authority", MALFORMED, get(("host", "")))


def run(bytes_, stream, pieces):
    connection = Connection(ADDRESS)
    for piece in [bytes([byte]) for byte in bytes_] if pieces else [bytes_]:
        connection.send(piece)
    return connection.outcome(stream)


def main():
    wrong = []
    for number, (name, expected, bytes_, stream, pieces) in enumerate(CASES):
        outcome = run(bytes_, stream, pieces)
        reached = "200" in outcome
        may = any("200" in one for one in expected)
        print(number, "yes" if reached else "maybe" if may else "no")
        if outcome not in expected:
            wrong.append(f"{number} {name}: {outcome} where {' or '.join(expected)} was expected")
    sys.exit("\n".join(wrong) if wrong else 0)


main()
