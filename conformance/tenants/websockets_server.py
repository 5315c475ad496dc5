"""A tenant that speaks WebSocket, and what each path of it does.

/echo          sends every message back, as it came
/fragments     sends every message back in pieces, with a ping between them
/ping          pings with 125 bytes, and says whether the pong had them
/close/CODE    closes with that code, or with none for 0
/raw/HEX       sends these bytes, whatever they are, then waits for the end
/later/MS      says its process id, says nothing for so long, and says it again
/hold          says its process id, and waits for the end
/refuse/STATUS answers with that status instead of 101

Told to stop, it first writes into FOLDER/heard what code had come on each that it held, a line each:
"none" where it was open still.
"""

import asyncio
import os
import signal
import sys
from http import HTTPStatus

from websockets.asyncio.server import unix_serve


def refuse(connection, request):
    verb, _, status = request.path.strip("/").partition("/")
    if verb == "refuse":
        return connection.respond(HTTPStatus(int(status)), f"not today: {status}\n")
    return None


def choose(connection, offered):
    # Unlike the library's own choice, this lets clients come without any.
    return "chat.v2" if "chat.v2" in offered else None


async def echo(socket, _):
    async for message in socket:
        await socket.send(message)


async def fragments(socket, _):
    async def pieces(message):
        for start in range(0, len(message), 1000):
            yield message[start : start + 1000]
            await socket.ping()

    async for message in socket:
        await socket.send(pieces(message))


async def ping(socket, _):
    await (await socket.ping(b"p" * 125))
    await socket.send("pong")


async def close(socket, code):
    if int(code):
        await socket.close(int(code), "bye")
    else:
        socket.transport.write(b"\x88\x00")
        await socket.wait_closed()


async def raw(socket, text):
    socket.transport.write(bytes.fromhex(text))
    await socket.wait_closed()


async def later(socket, milliseconds):
    await socket.send(str(os.getpid()))
    await asyncio.sleep(int(milliseconds) / 1000)
    await socket.send(str(os.getpid()))


HELD = []


async def hold(socket, _):
    HELD.append(socket)
    await socket.send(str(os.getpid()))
    await socket.wait_closed()


def write_heard():
    with open(os.path.join(sys.argv[1], "heard"), "w") as file:
        for socket in HELD:
            close = socket.protocol.close_rcvd
            print(close.code if close else "none", file=file)


async def serve(socket):
    verb, _, argument = socket.request.path.strip("/").partition("/")
    await PATHS[verb](socket, argument)


PATHS = {path.__name__: path for path in (echo, fragments, ping, close, raw, later, hold)}


async def main():
    ended = asyncio.Event()

    def end():
        write_heard()
        ended.set()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end)
    path = os.environ["SOCKET_PATH"]
    async with unix_serve(
        serve, path, process_request=refuse, select_subprotocol=choose, max_size=None
    ):
        await ended.wait()


asyncio.run(main())
