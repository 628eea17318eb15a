"""asyncio's streams as the manual shows them: `async with server`, which waits for wait_closed().

A small HTTP/1.1 server; SIGTERM ends serve_forever().  How long `async with` then waits is the
interpreter's doing, and differs from version to version.
"""

import asyncio
import os
import signal

import pages


async def connected(reader, writer):
    try:
        while True:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 3)
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
            await asyncio.wait_for(reader.readexactly(int(fields.get(b"content-length", 0))), 30)
            path = head.split(b" ", 2)[1].decode()
            await asyncio.sleep(pages.seconds(path))
            body = pages.body(path)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
            if fields.get(b"connection") == b"close":
                break
    except (asyncio.IncompleteReadError, TimeoutError, ConnectionError, ValueError):
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(connected, "127.0.0.1", int(os.environ["PORT"]))
    async with server:
        serving = asyncio.create_task(server.serve_forever())
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, serving.cancel)
        await asyncio.wait([serving])


asyncio.run(main())
