"""A gRPC client: grpc_client.py ADDRESS HOST CASE... Each case says its name when it holds. With
TRUSTED in its environment it speaks TLS, and trusts the certificate in that file."""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

import grpc

PATIENCE = 20


def expect(found, wanted):
    if found != wanted:
        raise AssertionError(f"{found!r} where {wanted!r} was expected")


def refused(call):
    """The error of a call that must not succeed."""
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise AssertionError("the call succeeded")


class Cases:
    def __init__(self, channel):
        self.channel = channel

    def call(self, kind, method):
        return getattr(self.channel, kind)(f"/case/{method}")

    def unary(self):
        echo = self.call("unary_unary", "Echo")
        for message in [b"", b"hello", b"\x00" * 1000]:
            expect(echo(message, timeout=PATIENCE), message)

    def server_streaming(self):
        numbers = self.call("unary_stream", "Split")(b"5000", timeout=PATIENCE)
        expect([int(number) for number in numbers], list(range(5000)))

    def client_streaming(self):
        messages = (b"x" * 1000 for _ in range(5000))
        total = self.call("stream_unary", "Total")(messages, timeout=PATIENCE)
        expect(total, b"5000000")

    def small_messages(self):
        """Faster than a server starts."""

        def messages():
            begun = time.monotonic()
            for number in range(6000):
                while time.monotonic() - begun < number / 2000:
                    time.sleep(0.0005)
                yield b"x" * 15

        expect(self.call("stream_unary", "Total")(messages(), timeout=PATIENCE), b"90000")

    def bidirectional(self):
        """No message is sent before the one before it was answered."""
        messages = SimpleQueue()
        messages.put(b"message 0")
        answers = self.call("stream_stream", "AnswerEach")(iter(messages.get, None), timeout=PATIENCE)
        for number in range(200):
            expect(next(answers), f"MESSAGE {number}".encode())
            messages.put(f"message {number + 1}".encode() if number < 199 else None)
        expect(list(answers), [])

    def large(self):
        message = bytes(range(256)) * (4 << 12)
        expect(self.call("unary_unary", "Echo")(message, timeout=PATIENCE), message)

    def metadata(self):
        sent = [("x-text", "a value"), ("x-bytes-bin", b"\x00\x01\xff")]
        method = self.call("unary_unary", "Metadata")
        answer, call = method.with_call(b"", metadata=sent, timeout=PATIENCE)
        initial = dict(call.initial_metadata())
        expect(initial["x-initial"], "first")
        for name, value in sent:
            expect(initial[name], value)
        trailing = dict(call.trailing_metadata())
        expect((trailing["x-trailing"], trailing["x-trailing-bin"]), ("last", b"\x00\xff"))

    def error_with_details(self):
        error = refused(lambda: self.call("unary_unary", "Fail")(b"why\x00", timeout=PATIENCE))
        expect(error.code(), grpc.StatusCode.FAILED_PRECONDITION)
        expect(error.details(), "not thus: ü")
        expect(dict(error.trailing_metadata())["grpc-status-details-bin"], b"why\x00")

    def unknown_method(self):
        error = refused(lambda: self.call("unary_unary", "Nothing")(b"", timeout=PATIENCE))
        expect(error.code(), grpc.StatusCode.UNIMPLEMENTED)

    def deadline(self):
        remaining = float(self.call("unary_unary", "Remaining")(b"", timeout=PATIENCE))
        # What the header says is rounded up.
        expect(PATIENCE / 2 < remaining < PATIENCE + 1, True)
        call = self.call("unary_stream", "Hang")(b"", timeout=1)
        expect(next(call), b"here")
        expect(refused(lambda: next(call)).code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        self.cancelled(1)

    def cancellation(self):
        calls = [self.call("unary_stream", "Hang")(b"", timeout=PATIENCE) for _ in range(20)]
        for call in calls:
            expect(next(call), b"here")
        for call in calls:
            call.cancel()
        self.cancelled(21)

    def cancelled(self, count):
        reached = self.call("unary_unary", "Cancelled")(str(count).encode(), timeout=PATIENCE)
        expect(reached, b"True")

    def many_at_once(self):
        echo = self.call("unary_unary", "Echo")
        with ThreadPoolExecutor(50) as pool:
            messages = [str(number).encode() for number in range(1000)]
            answers = pool.map(lambda message: echo(message, timeout=PATIENCE), messages)
            expect(list(answers), messages)


def connect(address, host, options):
    trusted = os.environ.get("TRUSTED")
    if trusted is None:
        return grpc.insecure_channel(address, options=options)
    with open(trusted, "rb") as file:
        credentials = grpc.ssl_channel_credentials(file.read())
    options = [*options, ("grpc.ssl_target_name_override", host)]
    return grpc.secure_channel(address, credentials, options=options)


def main(address, host, *names):
    options = [("grpc.default_authority", host), ("grpc.max_receive_message_length", -1)]
    with connect(address, host, options) as channel:
        cases = Cases(channel)
        for name in names:
            getattr(cases, name)()
            print(name, flush=True)


main(*sys.argv[1:])
