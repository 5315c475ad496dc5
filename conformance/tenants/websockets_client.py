"""A client that listens: `websockets_client.py URL` says every message that comes, a line each,
and at the end "closed CODE": the code that came, or 1006 where none did."""

import asyncio
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


async def main(url):
    # Not every host has a resolver that knows what is below `localhost`.
    async with connect(url, host="127.0.0.1", proxy=None) as socket:
        try:
            while True:
                print(await socket.recv(), flush=True)
        except ConnectionClosed:
            print("closed", socket.close_code, flush=True)


asyncio.run(main(sys.argv[1]))
