"""HTTP/2 down to the frame (RFC 9113): writes what it is told, however wrong, and says what came
of it. It never refuses to send anything, so it is not made of a library's connection."""

import select
import socket
import struct
import time

from hpack import Decoder

PATIENCE = 10

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM = ACK = 1
END_HEADERS, PADDED, PRIORITIZED = 4, 8, 32
ERRORS = (
    "NO_ERROR PROTOCOL_ERROR INTERNAL_ERROR FLOW_CONTROL_ERROR SETTINGS_TIMEOUT STREAM_CLOSED"
    " FRAME_SIZE_ERROR REFUSED_STREAM CANCEL COMPRESSION_ERROR CONNECT_ERROR ENHANCE_YOUR_CALM"
).split()
MARK = b"the mark"


def frame(kind, flags, stream, payload=b"", length=None):
    length = len(payload) if length is None else length
    return struct.pack(">I", length)[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def setting(name, value):
    return frame(SETTINGS, 0, 0, struct.pack(">HI", name, value))


def data(payload, stream=1, end=True):
    return frame(DATA, END_STREAM if end else 0, stream, payload)


def reset(stream=1, code=8):
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def window(increment, stream=0):
    return frame(WINDOW, 0, stream, struct.pack(">I", increment))


HELLO = PREFACE + frame(SETTINGS, 0, 0)


def string(text):
    """RFC 7541, section 5.2, without Huffman's code."""
    length, out = len(text), bytearray()
    if length < 127:
        return bytes([length]) + text
    length -= 127
    out.append(127)
    while length >= 128:
        out.append(length % 128 + 128)
        length //= 128
    out.append(length)
    return bytes(out) + text


def block(fields):
    """A header block that refers to nothing (RFC 7541, section 6.2.2)."""
    raw = lambda text: text if isinstance(text, bytes) else text.encode("latin-1")
    return b"".join(b"\0" + string(raw(name)) + string(raw(value)) for name, value in fields)


def headers(fields, stream=1, end=True, flags=END_HEADERS):
    return frame(HEADERS, flags | (END_STREAM if end else 0), stream, block(fields))


def request(host, path="/", method="GET"):
    return [(":method", method), (":scheme", "http"), (":authority", host), (":path", path)]


class Connection:
    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""
        self.decoder = Decoder()
        self.decoder.max_allowed_table_size = 4096
        self.statuses, self.resets, self.ended, self.bodies = {}, {}, set(), {}
        self.goaway, self.closed, self.marked, self.old = None, False, False, None
        self.asked = b""

    def send(self, data):
        """Whether all of it was taken: the other side may have had enough. What comes meanwhile
        is read, so that neither side waits for the other."""
        data, end = memoryview(data), time.monotonic() + PATIENCE
        self.socket.setblocking(False)
        try:
            while data and time.monotonic() < end:
                readable, writable, _ = select.select([self.socket], [self.socket], [], PATIENCE)
                if readable and not self.read_some():
                    return False
                if writable:
                    data = data[self.socket.send(data) :]
        except OSError:
            return False
        finally:
            self.socket.setblocking(True)
            self.socket.settimeout(PATIENCE)
        return not data

    def read_some(self):
        try:
            piece = self.socket.recv(1 << 18)
        except BlockingIOError:
            return True
        except ConnectionError:
            piece = b""
        self.closed |= not piece
        self.received += piece
        self.take_frames()
        return not self.closed

    def take_frames(self):
        if self.received.startswith(b"HTTP/1.1 "):
            self.old = self.received[9:12].decode()
            return
        while len(self.received) >= 9:
            length = int.from_bytes(self.received[:3], "big")
            if len(self.received) < 9 + length:
                return
            kind, flags, stream = struct.unpack(">BBI", self.received[3:9])
            payload, self.received = self.received[9 : 9 + length], self.received[9 + length :]
            self.take(kind, flags, stream, payload)

    def take(self, kind, flags, stream, payload):
        if kind == HEADERS:
            fields = dict(self.decoder.decode(payload))
            status = fields.get(":status", self.statuses.get(stream))
            self.statuses[stream] = status
        elif kind == DATA:
            self.bodies[stream] = self.bodies.get(stream, 0) + len(payload)
        elif kind == RST_STREAM:
            self.resets[stream] = error(payload)
        elif kind == GOAWAY and error(payload[4:]) != "NO_ERROR":
            self.goaway = error(payload[4:8])
        elif kind == PING and not flags & ACK:
            self.asked += frame(PING, ACK, 0, payload)
        elif kind == PING and payload == MARK:
            self.marked = True
        if kind in (HEADERS, DATA) and flags & END_STREAM or kind == RST_STREAM:
            self.ended.add(stream)

    def until(self, condition, patience=PATIENCE):
        """Whether it held in time, or before the connection's end."""
        end = time.monotonic() + patience
        while not condition():
            left = end - time.monotonic()
            if self.asked:
                answers, self.asked = self.asked, b""
                self.send(answers)
            if self.closed or left <= 0 or not select.select([self.socket], [], [], left)[0]:
                return condition()
            self.read_some()
        return True

    def outcome(self, stream=1):
        """What came of everything that was sent, as far as it is about this stream."""
        self.send(frame(PING, 0, 0, MARK))
        self.until(lambda: self.goaway or self.old or (self.marked and stream in self.ended), 2)
        if self.old:
            return f"HTTP/1.1 {self.old}"
        if self.goaway:
            return f"goaway {self.goaway}"
        if self.resets.get(stream, "NO_ERROR") != "NO_ERROR":
            return f"reset {self.resets[stream]}"
        if stream in self.statuses:
            return self.statuses[stream]
        return "closed" if self.closed else "nothing"


def error(payload):
    code = int.from_bytes(payload[:4], "big")
    return ERRORS[code] if code < len(ERRORS) else str(code)
