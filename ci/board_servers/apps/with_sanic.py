"""Sanic, as its command line runs it: a manager, and a worker that serves."""

import asyncio

import pages
from sanic import Sanic, response

app = Sanic("board")
app.config.update(KEEP_ALIVE_TIMEOUT=3, REQUEST_TIMEOUT=3, GRACEFUL_SHUTDOWN_TIMEOUT=4, ACCESS_LOG=False)


@app.route("/<path:path>", methods=["GET", "POST"])
@app.route("/", methods=["GET", "POST"], name="root")
async def page(request, path=""):
    if seconds := pages.seconds("/" + path):
        await asyncio.sleep(seconds)
    return response.raw(pages.body("/" + path))
