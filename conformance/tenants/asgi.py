"""What the cases in tests/servers.rs ask for, as an ASGI application under uvicorn."""

import asyncio
import os

import uvicorn

go = asyncio.Event()


async def app(scope, receive, send):
    if scope["type"] != "http":
        raise ValueError("only HTTP is served")
    path = scope["path"]
    if path == "/echo":
        await start(send, [(b"x-length", header(scope, b"content-length"))])
        more = True
        while more:
            message = await receive()
            more = message.get("more_body", False)
            await send({"type": "http.response.body", "body": message["body"], "more_body": more})
    elif path == "/stream":
        await start(send)
        await send({"type": "http.response.body", "body": b"first\n", "more_body": True})
        await go.wait()
        await send({"type": "http.response.body", "body": b"last\n"})
    elif path == "/go":
        go.set()
        await whole(send, b"gone")
    elif path == "/connection":
        await whole(send, str(scope["client"][1]).encode())
    elif path == "/large":
        await whole(send, str(len(header(scope, b"x-large"))).encode(), [(b"x-large", b"y" * 6000)])
    else:
        await whole(send, b"hello")


def header(scope, wanted):
    return next((value for name, value in scope["headers"] if name == wanted), b"")


async def start(send, headers=()):
    await send({"type": "http.response.start", "status": 200, "headers": list(headers)})


async def whole(send, body, headers=()):
    await start(send, [(b"content-length", str(len(body)).encode()), *headers])
    await send({"type": "http.response.body", "body": body})


uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]))
