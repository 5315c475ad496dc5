"""A tenant that switches to whatever protocol it is asked for.

/refuse answers every request as if it had not asked; any other path switches, counts what comes
up to the end of the client's side, and only then says how much that was.
"""

import asyncio
import os


async def serve(reader, writer):
    while head := await until_end(reader):
        if b" /refuse " in head:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nno\n")
            continue
        asked = [line for line in head.split(b"\r\n") if line.lower().startswith(b"upgrade:")]
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n")
        writer.write(asked[0] + b"\r\n\r\nwelcome\n")
        count = 0
        while piece := await reader.read(1 << 16):
            count += len(piece)
        writer.write(b"%d\n" % count)
        break
    await writer.drain()
    writer.close()


async def until_end(reader):
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""


async def main():
    server = await asyncio.start_unix_server(serve, os.environ["SOCKET_PATH"])
    await server.serve_forever()


asyncio.run(main())
