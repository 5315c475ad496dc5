"""Cases of RFC 6455, each tried twice: with the tenant itself, and through ten. What is seen
must be what is expected, and the same both times.

`websockets_cases.py PORT SOCKET OTHER`: the port of ten, and the sockets of the instances `a` of
the services `ws` (websockets_server.py) and `other` (websockets_other.py).
"""

import asyncio
import base64
import os
import sys
import traceback

from websockets.asyncio.client import connect, unix_connect
from websockets.exceptions import ConnectionClosed

PORT, SOCKETS = int(sys.argv[1]), {"ws": sys.argv[2], "other": sys.argv[3]}
PATIENCE = 30
KEY = b"\x01\x02\x03\x04"


class Direct:
    """To the instance."""

    def open(self, path, **options):
        return unix_connect(SOCKETS["ws"], f"ws://a.ws.localhost{path}", **COMMON | options)

    async def raw(self, service="ws"):
        return await asyncio.open_unix_connection(SOCKETS[service])


class Through:
    """To ten."""

    def open(self, path, **options):
        return connect(f"ws://a.ws.localhost:{PORT}{path}", host="127.0.0.1", **COMMON | options)

    async def raw(self, service="ws"):
        return await asyncio.open_connection("127.0.0.1", PORT)


COMMON = {"proxy": None, "max_size": None}
CASES = {}


def case(name, *arguments):
    def add(function):
        async def run(way):
            return await function(way, *arguments)

        assert name not in CASES
        CASES[name] = run
        return function

    return add


# Messages.


async def echo(way, message):
    async with way.open("/echo", compression=None) as socket:
        await socket.send(message)
        assert await socket.recv() == message


for size in (0, 1, 125, 126, 127, 65535, 65536, 65537):
    case(f"text of {size}", "é"[: size % 2] + "x" * (size - 2 * (size % 2)))(echo)
    case(f"binary of {size}", b"\x00" * size)(echo)
case("binary of 16 MiB", os.urandom(16 << 20))(echo)
case("text beyond the first plane", "\U0001f980\u0000\ud7ff")(echo)


@case("fragments, with a ping between them")
async def _(way):
    async def pieces(socket):
        yield "a" * 1000
        await (await socket.ping(b"between"))
        yield ""
        yield "b" * 70000

    async with way.open("/echo") as socket:
        await socket.send(pieces(socket))
        assert await socket.recv() == "a" * 1000 + "b" * 70000


@case("fragments of the instance, with pings between them")
async def _(way):
    async with way.open("/fragments") as socket:
        await socket.send("x" * 10500)
        pieces = [piece async for piece in socket.recv_streaming()]
        assert "".join(pieces) == "x" * 10500
        return [len(piece) for piece in pieces]


@case("two thousand messages without waiting")
async def _(way):
    async with way.open("/echo") as socket:
        for number in range(2000):
            await socket.send(str(number))
        assert [await socket.recv() for _ in range(2000)] == [str(n) for n in range(2000)]


@case("large messages both ways at once")
async def _(way):
    message = os.urandom(2 << 20)
    async with way.open("/echo", compression=None) as socket:
        sending = asyncio.gather(*(socket.send(message) for _ in range(8)))
        for _ in range(8):
            assert await socket.recv() == message
        await sending


@case("fifty sockets at once")
async def _(way):
    await asyncio.gather(*(echo(way, f"{number}") for number in range(50)))


# Control frames.


async def ping(way, payload):
    async with way.open("/echo") as socket:
        await (await socket.ping(payload))


case("ping without payload", b"")(ping)
case("ping of 125", bytes(range(125)))(ping)


@case("ping of the instance")
async def _(way):
    async with way.open("/ping") as socket:
        assert await socket.recv() == "pong"


@case("a pong that nobody asked for")
async def _(way):
    async with way.open("/echo") as socket:
        await socket.pong(b"unasked")
        await socket.send("still here")
        assert await socket.recv() == "still here"


async def client_closes(way, code):
    socket = await way.open("/echo")
    await socket.close(code, "over")
    assert (socket.close_code, socket.close_reason) == (code, "over")


async def instance_closes(way, code):
    async with way.open(f"/close/{code}") as socket:
        try:
            await socket.recv()
        except ConnectionClosed as closed:
            # 1005 stands for a Close without a code (section 7.4.1).
            wanted = (code, "bye") if code else (1005, "")
            assert (socket.close_code, socket.close_reason) == wanted
            assert closed.rcvd_then_sent


for code in (1000, 1001, 1003, 1007, 1008, 1009, 1011, 1012, 3000, 4999):
    case(f"client closes with {code}", code)(client_closes)
    case(f"instance closes with {code}", code)(instance_closes)
case("instance closes without a code", 0)(instance_closes)


# Bytes. What one peer does wrong is the other's to refuse.


def frame(first, payload, masked=True):
    mask = 0x80 if masked else 0
    assert len(payload) < 126
    if not masked:
        return bytes([first, len(payload)]) + payload
    payload = bytes(byte ^ KEY[i % 4] for i, byte in enumerate(payload))
    return bytes([first, mask | len(payload)]) + KEY + payload


def request(path, service="ws", upgrade="websocket"):
    key = base64.b64encode(b"0123456789abcdef").decode()
    return (
        f"GET {path} HTTP/1.1\r\nHost: a.{service}.localhost\r\nConnection: Upgrade\r\n"
        f"Upgrade: {upgrade}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    ).encode()


async def head(reader):
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
    return int(lines[0].split()[1]), headers


async def refused_by_instance(way, sent, code):
    reader, writer = await way.raw()
    writer.write(request("/echo"))
    assert (await head(reader))[0] == 101
    writer.write(sent)
    first, length = await reader.readexactly(2)
    answer = await reader.readexactly(length)
    assert (first, int.from_bytes(answer[:2])) == (0x88, code)
    writer.write(frame(0x88, answer[:2]))
    assert await reader.read() == b""
    writer.close()
    return answer


for name, sent, code in (
    ("text that is not UTF-8", frame(0x81, b"\xff\xfe"), 1007),
    ("UTF-8 broken off between fragments", frame(0x01, b"\xc3") + frame(0x80, b"x"), 1007),
    ("a frame without a mask", frame(0x81, b"hi", masked=False), 1002),
    ("a reserved bit", frame(0x91, b"hi"), 1002),
    ("a reserved opcode", frame(0x83, b"hi"), 1002),
    ("a reserved control opcode", frame(0x8B, b""), 1002),
    ("a fragmented ping", frame(0x09, b"hi"), 1002),
    ("a ping that is too long", b"\x89\xfe\x00\x7e" + KEY + bytes(126), 1002),
    ("a continuation of nothing", frame(0x80, b"hi"), 1002),
    ("a message within a message", frame(0x01, b"hi") + frame(0x81, b"hi"), 1002),
    ("a Close of one byte", frame(0x88, b"\x03"), 1002),
    ("a Close with a code that is not sent", frame(0x88, b"\x03\xed"), 1002),
):
    case(f"{name}, from the client", sent, code)(refused_by_instance)


async def passes_to_client(way, sent):
    reader, writer = await way.raw()
    writer.write(request(f"/raw/{sent.hex()}"))
    assert (await head(reader))[0] == 101
    assert await reader.readexactly(len(sent)) == sent
    writer.close()


for name, sent in (
    ("text that is not UTF-8", b"\x81\x02\xff\xfe"),
    ("a masked frame", frame(0x81, b"hi")),
    ("a reserved bit", b"\xc1\x02hi"),
    ("a reserved opcode", b"\x83\x02hi"),
    ("a length in more bytes than needed", b"\x82\x7f" + bytes(7) + b"\x02hi"),
    ("an impossible length", b"\x82\x7f\xff" + bytes(7) + b"hi"),
    ("no frame at all", b"HTTP/1.1 200 OK\r\n\r\n"),
):
    case(f"{name}, from the instance", sent)(passes_to_client)


@case("a Close without a code, from the client")
async def _(way):
    reader, writer = await way.raw()
    writer.write(request("/echo"))
    assert (await head(reader))[0] == 101
    writer.write(frame(0x88, b""))
    assert await reader.read() == b"\x88\x00"
    writer.close()


@case("a frame that comes byte by byte")
async def _(way):
    reader, writer = await way.raw()
    writer.write(request("/echo"))
    assert (await head(reader))[0] == 101
    for byte in frame(0x81, b"slow"):
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0)
    assert await reader.readexactly(6) == b"\x81\x04slow"
    writer.close()


@case("a frame in the packet of the request")
async def _(way):
    reader, writer = await way.raw()
    writer.write(request("/echo") + frame(0x81, b"early"))
    assert (await head(reader))[0] == 101
    assert await reader.readexactly(7) == b"\x81\x05early"
    writer.close()


# The handshake.


@case("a subprotocol")
async def _(way):
    async with way.open("/echo", subprotocols=["chat.v1", "chat.v2"]) as socket:
        assert socket.subprotocol == "chat.v2"


@case("permessage-deflate")
async def _(way):
    async with way.open("/echo") as socket:
        assert [extension.name for extension in socket.protocol.extensions] == ["permessage-deflate"]
        await socket.send("again and " * 10000)
        assert await socket.recv() == "again and " * 10000
        return socket.response.headers["Sec-WebSocket-Extensions"]


@case("no extension")
async def _(way):
    async with way.open("/echo", compression=None) as socket:
        assert "Sec-WebSocket-Extensions" not in socket.response.headers


async def refused(way, status):
    reader, writer = await way.raw()
    writer.write(request(f"/refuse/{status}"))
    got, headers = await head(reader)
    body = await reader.readexactly(int(headers["content-length"]))
    assert (got, body) == (status, b"not today: %d\n" % status)
    # Either the connection can be used again, or it ends.
    writer.write(request(f"/refuse/{status}"))
    again = await reader.read(12)
    assert again in (b"", b"HTTP/1.1 %d" % status), again
    writer.close()


for status in (403, 404, 426, 503):
    case(f"refused with {status}", status)(refused)


@case("a version that is not spoken")
async def _(way):
    reader, writer = await way.raw()
    writer.write(request("/echo").replace(b"Version: 13", b"Version: 12"))
    status, _ = await head(reader)
    writer.close()
    assert status in (400, 426)
    return status


@case("a request behind an upgrade that is refused")
async def _(way):
    reader, writer = await way.raw("other")
    writer.write(request("/refuse", "other") * 2)
    for _ in range(2):
        status, headers = await head(reader)
        body = await reader.readexactly(int(headers["content-length"]))
        assert (status, body) == (200, b"no\n")
    writer.close()


async def other(way, protocol, sent):
    reader, writer = await way.raw("other")
    writer.write(request("/", "other", protocol))
    status, headers = await head(reader)
    assert (status, headers["upgrade"]) == (101, protocol)
    assert await reader.readline() == b"welcome\n"
    writer.write(sent)
    # The client's side ends; the instance has still something to say.
    writer.write_eof()
    assert await reader.read() == b"%d\n" % len(sent)
    writer.close()


case("half-closed at once", "websocket", b"")(other)
case("half-closed after a frame", "websocket", frame(0x81, b"hi"))(other)
case("half-closed in the middle of a frame", "websocket", frame(0x81, b"hi")[:3])(other)
case("half-closed after 16 MiB", "websocket", bytes(16 << 20))(other)
case("another protocol", "chat/2", b"\x88\x00 are bytes like any other")(other)


async def main():
    failed = 0
    for name, run in CASES.items():
        try:
            direct = await asyncio.wait_for(run(Direct()), PATIENCE)
            through = await asyncio.wait_for(run(Through()), PATIENCE)
            assert direct == through, f"{direct!r} directly, {through!r} through ten"
            print("ok", name)
        except Exception:
            failed += 1
            print("FAILED", name)
            traceback.print_exc(file=sys.stdout)
    print(f"{len(CASES) - failed} of {len(CASES)} cases")
    return 1 if failed else 0


sys.exit(asyncio.run(main()))
