"""aiohttp's own server, as `web.run_app` runs it."""

import asyncio
import os

import pages
from aiohttp import web


async def page(request):
    await request.read()
    if seconds := pages.seconds(request.path):
        await asyncio.sleep(seconds)
    return web.Response(body=pages.body(request.path))


app = web.Application()
app.router.add_route("*", "/{path:.*}", page)
web.run_app(
    app, host="127.0.0.1", port=int(os.environ["PORT"]), print=None, keepalive_timeout=3, shutdown_timeout=4
)
