"""Uploads over HTTP/2 that nobody reads to their end: what they took of the connection's window
must come back, or the connection stands still after some of them.

`http2_uploads.py ADDRESS HOST` makes many uploads of each kind on one connection, and writes
`NAME UPLOADS`: how many were under way before there was no room for another one.
"""

import sys

from http2 import (
    HELLO, MARK, PING, WINDOW,
    Connection, data, frame, headers, request, reset, window,
)  # fmt: skip

ADDRESS, HOST = sys.argv[1:]
# Together many times what a connection's window has room for.
UPLOADS, PIECES, PIECE = 200, 4, 16_000


class Counting(Connection):
    # Section 6.9.2: what both sides begin with.
    room = 65_535

    def take(self, kind, flags, stream, payload):
        if kind == WINDOW and stream == 0:
            self.room += int.from_bytes(payload, "big")
        super().take(kind, flags, stream, payload)

    def upload(self, stream, head):
        """Whether there was room for it."""
        self.send(head)
        for piece in range(PIECES):
            if not self.until(lambda: self.room >= PIECE or stream in self.ended, 2):
                return False
            if stream in self.ended:
                break
            self.room -= PIECE
            self.send(data(bytes(PIECE), stream, end=piece == PIECES - 1))
        self.until(lambda: stream in self.ended, 2)
        return self.goaway is None and not self.closed


def post(stream, *more, host=HOST, path="/body"):
    return headers([*request(host, path, "POST"), *more], stream, end=False)


KINDS = {
    "taken": post,
    "not_looked_at": lambda stream: post(stream, path="/pid"),
    "for_nobody": lambda stream: post(stream, host="nobody.example"),
    "for_no_host": lambda stream: post(stream, host="a..b"),
    "of_a_wrong_length": lambda stream: post(stream, ("content-length", "7")),
    "malformed": lambda stream: post(stream, ("upgrade", "x")),
    "taken_back": lambda stream: post(stream) + reset(stream),
}


def main():
    for name, head in KINDS.items():
        connection = Counting(ADDRESS)
        connection.send(HELLO + window(1 << 20) + frame(PING, 0, 0, MARK))
        connection.until(lambda: connection.marked)
        streams = range(1, 2 * UPLOADS, 2)
        print(name, sum(connection.upload(stream, head(stream)) for stream in streams))


main()
