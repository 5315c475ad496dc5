"""A notes app for one person: one process, one SQLite file, nothing but the standard library.

    PORT=8000 DATABASE_PATH=notes.db python3 app.py

GET /        the notes: HTML for browsers, JSON for everyone else
POST /       adds one: the form field `note`, or the body as it is
GET /health  200
"""

import html
import json
import os
import signal
import socketserver
import sqlite3
import sys
from contextlib import closing
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs

DATABASE = os.environ.get("DATABASE_PATH", "notes.db")
LONGEST_NOTE = 10_000

PAGE = """<!doctype html><meta charset="utf-8"><title>Notes</title>
<h1>Notes</h1><form method="post"><input name="note" autofocus><button>Add</button></form>
<ul>{}</ul>"""


def database():
    return closing(sqlite3.connect(DATABASE))


def all_notes():
    with database() as db:
        return [text for (text,) in db.execute("SELECT text FROM notes ORDER BY id")]


def add_note(text):
    with database() as db, db:
        db.execute("INSERT INTO notes (text) VALUES (?)", [text])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections open
    wbufsize = -1  # head and body leave together

    def do_GET(self):
        if self.path == "/health":
            self.reply(200, "text/plain", "ok\n")
        elif self.path != "/":
            self.reply(404, "text/plain", "no such page\n")
        elif "text/html" in self.headers.get("Accept", ""):
            items = "".join(f"<li>{html.escape(note)}</li>" for note in all_notes())
            self.reply(200, "text/html; charset=utf-8", PAGE.format(items))
        else:
            self.reply(200, "application/json", json.dumps(all_notes()) + "\n")

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        if length > LONGEST_NOTE:
            return self.reply(413, "text/plain", "the note is too long\n", Connection="close")
        body = self.rfile.read(length).decode("utf-8", "replace")
        add_note(parse_qs(body).get("note", [body])[0])
        self.reply(303, "text/plain", "added\n", Location="/")

    def reply(self, status, content_type, text, **headers):
        body = text.encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(socketserver.ThreadingTCPServer):
    # Not http.server.HTTPServer, which looks its own name up in the DNS before it listens.
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with database() as db, db:
        db.execute("CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
    with Server(("127.0.0.1", int(os.environ.get("PORT", "8000"))), Handler) as server:
        server.serve_forever()
