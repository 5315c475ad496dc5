"""Somebody on the internet: tells everybody the address that they seem to have."""

import http.server
import socket
import sys
import threading


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.client_address[0].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def echo(udp):
    while True:
        udp.sendto(*udp.recvfrom(100))


class Server(http.server.ThreadingHTTPServer):
    def server_bind(self):
        # Without asking for a name.
        socket.socket.setsockopt(self.socket, socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "internet", 80


# Until its addresses are there.
sys.stdin.read()
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
# An answer must come from the address that was asked. And before the other listens, which is
# what everybody waits for.
udp.bind(("192.0.2.80", 9))
threading.Thread(target=echo, args=[udp], daemon=True).start()
Server(("0.0.0.0", 80), Answer).serve_forever()
