"""ASGI: uvicorn, hypercorn, daphne, granian, gunicorn with uvicorn's worker."""

import asyncio

import pages


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    while (message := await receive()).get("more_body"):
        pass
    if message["type"] == "http.disconnect":
        return
    path = scope["path"]
    if seconds := pages.seconds(path):
        await asyncio.sleep(seconds)
    body = pages.body(path)
    length = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.body", "body": body})
