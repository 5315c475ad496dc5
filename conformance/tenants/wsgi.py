"""What the cases in tests/servers.rs ask for, as a WSGI application under gunicorn."""

import os
import threading

from gunicorn.app.base import BaseApplication

go = threading.Event()


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/echo":
        start_response("200 OK", [("x-length", environ.get("CONTENT_LENGTH", ""))])
        return iter(lambda: environ["wsgi.input"].read(65536), b"")
    if path == "/stream":
        start_response("200 OK", [])
        return stream()
    headers = []
    body = b"hello"
    if path == "/go":
        go.set()
    elif path == "/connection":
        # A Unix socket's clients have no address; the connection is what its thread holds.
        body = str(environ["gunicorn.socket"].fileno()).encode()
    elif path == "/large":
        body = str(len(environ.get("HTTP_X_LARGE", ""))).encode()
        headers = [("x-large", "y" * 6000)]
    start_response("200 OK", [("content-length", str(len(body))), *headers])
    return [body]


def stream():
    yield b"first\n"
    go.wait()
    yield b"last\n"


class Server(BaseApplication):
    def load_config(self):
        self.cfg.set("bind", "unix:" + os.environ["SOCKET_PATH"])
        self.cfg.set("threads", 4)

    def load(self):
        return app


Server().run()
