"""A gRPC server on PORT and SOCKET_PATH. Its messages are plain bytes: what passes between is
what matters here, not how it is encoded."""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc

cancelled = threading.Condition()
cancelled_calls = 0


def echo(request, context):
    return request


def split(request, context):
    """As many numbers as the request says."""
    for number in range(int(request)):
        yield str(number).encode()


def total(requests, context):
    return str(sum(len(request) for request in requests)).encode()


def answer_each(requests, context):
    for request in requests:
        yield request.upper()


def metadata(request, context):
    sent = [(name, value) for name, value in context.invocation_metadata() if name.startswith("x-")]
    context.send_initial_metadata([("x-initial", "first"), *sent])
    context.set_trailing_metadata([("x-trailing", "last"), ("x-trailing-bin", b"\x00\xff")])
    return request


def fail(request, context):
    context.set_trailing_metadata([("grpc-status-details-bin", request)])
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not thus: ü")


def remaining(request, context):
    return str(context.time_remaining()).encode()


def hang(request, context):
    """One message, and then nothing until the client leaves."""
    left = threading.Event()

    def count():
        global cancelled_calls
        with cancelled:
            cancelled_calls += 1
            cancelled.notify_all()
        left.set()

    context.add_callback(count)
    yield b"here"
    left.wait()


def cancelled_of(request, context):
    """Waits until as many calls as the request says were cancelled."""
    with cancelled:
        reached = cancelled.wait_for(lambda: cancelled_calls >= int(request), timeout=10)
    return str(reached).encode()


class Methods(grpc.GenericRpcHandler):
    METHODS = {
        "/case/Echo": grpc.unary_unary_rpc_method_handler(echo),
        "/case/Split": grpc.unary_stream_rpc_method_handler(split),
        "/case/Total": grpc.stream_unary_rpc_method_handler(total),
        "/case/AnswerEach": grpc.stream_stream_rpc_method_handler(answer_each),
        "/case/Metadata": grpc.unary_unary_rpc_method_handler(metadata),
        "/case/Fail": grpc.unary_unary_rpc_method_handler(fail),
        "/case/Remaining": grpc.unary_unary_rpc_method_handler(remaining),
        "/case/Hang": grpc.unary_stream_rpc_method_handler(hang),
        "/case/Cancelled": grpc.unary_unary_rpc_method_handler(cancelled_of),
    }

    def service(self, call):
        return self.METHODS.get(call.method)


def main():
    time.sleep(float(os.environ.get("START_DELAY", "0")))
    server = grpc.server(
        ThreadPoolExecutor(64),
        handlers=[Methods()],
        options=[("grpc.max_receive_message_length", -1)],
    )
    server.add_insecure_port(f"127.0.0.1:{os.environ['PORT']}")
    server.add_insecure_port(f"unix:{os.environ['SOCKET_PATH']}")
    signal.signal(signal.SIGTERM, lambda *_: server.stop(grace=5))
    server.start()
    server.wait_for_termination()


main()
