"""asyncio's streams as the manual shows them: `async with server`, which waits for wait_closed().

A small HTTP/1.1 server; SIGTERM ends serve_forever().  From then on every reply is its connection's last, and
says so; one on which nothing is under way is closed, when it has been looked at once more.  How long `async
with` waits for them is the interpreter's doing, and differs from version to version.
"""

import asyncio
import os
import signal

import pages


async def next_head(reader, stopping):
    """The head of the next request; TimeoutError where none comes in time."""
    reading = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
    await asyncio.wait([reading, stopping], timeout=3, return_when=asyncio.FIRST_COMPLETED)
    if stopping.done():
        await asyncio.wait([reading], timeout=0.05)  # it may have come with the signal
    if not reading.done():
        reading.cancel()
        raise TimeoutError
    return reading.result()


async def answer(reader, writer, stopping):
    """One request and its reply; whether the connection is kept."""
    head = await next_head(reader, stopping)
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
    await asyncio.wait_for(reader.readexactly(int(fields.get(b"content-length", 0))), 3)
    path = head.split(b" ", 2)[1].decode()
    if seconds := pages.seconds(path):
        await asyncio.sleep(seconds)
    last = stopping.done() or fields.get(b"connection") == b"close"
    body = pages.body(path)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n" % len(body))
    writer.write(b"Connection: close\r\n\r\n" if last else b"\r\n")
    writer.write(body)
    await writer.drain()
    return not last


async def main():
    stopping = asyncio.get_running_loop().create_future()

    async def connected(reader, writer):
        try:
            while await answer(reader, writer, stopping):
                pass
        except (asyncio.IncompleteReadError, TimeoutError, ConnectionError, ValueError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", int(os.environ["PORT"]))
    async with server:
        serving = asyncio.create_task(server.serve_forever())
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set_result, None)
        await stopping
        serving.cancel()
        await asyncio.wait([serving])


asyncio.run(main())
