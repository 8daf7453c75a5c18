"""A slow line before the ports of a host: ``python -m tests.relay HOST DELAY LOSS PORT ...``.

What comes to 127.0.0.1:PORT goes to HOST:PORT and back, each chunk ``DELAY`` seconds late, in
order. A share ``LOSS`` of the chunks comes another ``PAUSE`` seconds late, with all behind them:
what TCP makes of a packet that is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys

PAUSE = 0.3
"""Seconds until a packet is sent again, on a line whose round trip takes 0.2 s."""

CHUNK = 1460


async def pump(reader, writer, delay, loss):
    """Passes bytes on, late."""
    loop, queue = asyncio.get_running_loop(), asyncio.Queue(4096)

    async def deliver():
        while (item := await queue.get()) is not None:
            due, data = item
            await asyncio.sleep(max(0.0, due - loop.time()))
            writer.write(data)
            await writer.drain()
        writer.close()

    task, due = asyncio.create_task(deliver()), 0.0
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(CHUNK):
            lost = PAUSE if random.random() < loss else 0.0
            due = max(due, loop.time() + delay + lost)
            await queue.put((due, data))
    await queue.put(None)
    with contextlib.suppress(ConnectionError):
        await task


async def relay(host, delay, loss, ports):
    """Listens at all ports, for good."""

    async def serve(port):
        async def accept(reader, writer):
            try:
                there = await asyncio.open_connection(host, port)
            except OSError:
                writer.close()
                return
            await asyncio.gather(
                pump(reader, there[1], delay, loss), pump(there[0], writer, delay, loss)
            )

        server = await asyncio.start_server(accept, "127.0.0.1", port)
        await server.serve_forever()

    await asyncio.gather(*map(serve, ports))


if __name__ == "__main__":
    asyncio.run(
        relay(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), list(map(int, sys.argv[4:])))
    )
