"""A tenant that tries to reach somebody and says how far it came, and how it was told."""

import errno
import http.server
import os
import socket
import subprocess
import threading
import time
import urllib.parse


def reach(host, port, udp):
    began = time.monotonic()
    try:
        kind = socket.SOCK_DGRAM if udp else socket.SOCK_STREAM
        with socket.socket(socket.AF_INET, kind) as peer:
            peer.settimeout(2)
            peer.connect((host, port))
            peer.send(b"GET / HTTP/1.0\r\n\r\n")
            answer = peer.recv(1000)
            while not udp and (more := peer.recv(1000)):
                answer += more
        return "answered " + answer.decode().rpartition("\n")[2]
    except TimeoutError:
        return "silence"
    except OSError as error:
        return f"{errno.errorcode[error.errno]} {'at once' if time.monotonic() - began < 1 else ''}"


def flood(host, port, count):
    for _ in range(count):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.sendto(b"x", (host, port))
    return "sent"


def run(command):
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    return done.stdout + done.stderr


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        url = urllib.parse.urlparse(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        if url.path == "/reach":
            body = reach(query["host"], int(query["port"]), "udp" in query)
        elif url.path == "/flood":
            body = flood(query["host"], int(query["port"]), int(query["count"]))
        elif url.path == "/run":
            body = run(query["command"])
        else:
            body = os.environ["TENEMENT_INSTANCE"]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())


class Server(http.server.ThreadingHTTPServer):
    def server_bind(self):
        # On every address, and without asking for a name.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "app", self.server_address[1]


def echo():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("0.0.0.0", int(os.environ["PORT"])))
        while True:
            udp.sendto(*udp.recvfrom(100))


threading.Thread(target=echo, daemon=True).start()
Server(("0.0.0.0", int(os.environ["PORT"])), Answer).serve_forever()
