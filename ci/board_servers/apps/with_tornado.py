"""Tornado as its guide runs it: main() waits for an event.  Here SIGTERM sets it; the guide has no signals.

There is no drain: close_all_connections() closes those with a request under way too.
"""

import asyncio
import os
import signal

import pages
from tornado import web


class Page(web.RequestHandler):
    async def get(self):
        if seconds := pages.seconds(self.request.path):
            await asyncio.sleep(seconds)
        self.write(pages.body(self.request.path))

    post = get


async def main():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = web.Application([("/.*", Page)]).listen(
        int(os.environ["PORT"]), "127.0.0.1", idle_connection_timeout=3, body_timeout=3
    )
    await stop.wait()
    server.stop()
    await server.close_all_connections()


asyncio.run(main())
