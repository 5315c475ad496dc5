"""Clients of HTTP/2 that take their time.

`http2_slow.py ADDRESS HOST` has ten clients of each kind, all at once, and writes for each kind
`NAME SECONDS OUTCOMES`: how long the last of them was endured, and what ended them. Where the
server endures one for too long, that is `nothing`.
"""

import sys
import threading
import time

from http2 import (
    HEADERS, HELLO, PING, PREFACE,
    Connection, block, data, frame, headers, request,
)  # fmt: skip

ADDRESS, HOST = sys.argv[1:]
CLIENTS = 10
PATIENCE = 15
KINDS = {}


def kind(function):
    KINDS[function.__name__] = function
    return function


def upload(stream=1):
    length = ("content-length", "100000")
    return headers([*request(HOST, "/body", "POST"), length], stream, end=False)


def wait(connection, done, meanwhile=None, pause=0.1):
    """Until `done` or the connection's end; `meanwhile` has something sent after each pause."""
    end = time.monotonic() + PATIENCE
    done = done or (lambda: False)
    while time.monotonic() < end and not (done() or connection.closed or connection.goaway):
        connection.until(lambda: done() or connection.closed, pause)
        if meanwhile:
            connection.send(meanwhile())
    if connection.goaway:
        return f"goaway_{connection.goaway}"
    if connection.closed:
        return "closed"
    return connection.resets.get(1) or connection.statuses.get(1) or "nothing"


@kind
def silence(connection):
    return wait(connection, None)


@kind
def a_part_of_the_preface(connection):
    connection.send(PREFACE[:7])
    return wait(connection, None)


@kind
def a_preface_that_drips(connection):
    rest = iter(PREFACE)
    return wait(connection, None, lambda: bytes([next(rest)]), 0.5)


@kind
def a_preface_and_silence(connection):
    connection.send(PREFACE)
    return wait(connection, None)


@kind
def settings_and_silence(connection):
    connection.send(HELLO)
    return wait(connection, None)


@kind
def nothing_but_pings(connection):
    connection.send(HELLO)
    return wait(connection, None, lambda: frame(PING, 0, 0, bytes(8)))


@kind
def a_part_of_a_frame(connection):
    connection.send(HELLO + frame(HEADERS, 5, 1, block(request(HOST)))[:20])
    return wait(connection, None)


@kind
def a_block_without_an_end(connection):
    connection.send(HELLO + frame(HEADERS, 1, 1, block(request(HOST))))
    return wait(connection, None)


@kind
def an_upload_that_stalls(connection):
    connection.send(HELLO + upload() + data(b"abc", end=False))
    return wait(connection, lambda: 1 in connection.ended)


@kind
def an_upload_that_never_begins(connection):
    connection.send(HELLO + upload())
    return wait(connection, lambda: 1 in connection.ended)


@kind
def an_upload_that_drips(connection):
    connection.send(HELLO + upload())
    return wait(connection, lambda: 1 in connection.ended, lambda: data(b"a", end=False))


@kind
def an_upload_that_stalls_beside_requests(connection):
    connection.send(HELLO + upload() + data(b"abc", end=False))
    streams = iter(range(3, 9999, 2))
    ask = lambda: headers(request(HOST), next(streams))
    return wait(connection, lambda: 1 in connection.ended, ask)


def endure(function, told):
    began = time.monotonic()
    outcome = function(Connection(ADDRESS))
    told.append((time.monotonic() - began, outcome))


def main():
    told = {name: [] for name in KINDS}
    threads = [
        threading.Thread(target=endure, args=(function, told[name]))
        for name, function in KINDS.items()
        for _ in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, ends in told.items():
        outcomes = {outcome for _, outcome in ends} | ({"error"} if len(ends) < CLIENTS else set())
        print(name, round(max(took for took, _ in ends), 2), *sorted(outcomes))


main()
