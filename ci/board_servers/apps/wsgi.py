"""WSGI: gunicorn, waitress."""

import time

import pages


def app(environ, start_response):
    size = int(environ.get("CONTENT_LENGTH") or 0)
    while size > 0 and (piece := environ["wsgi.input"].read(min(size, 1 << 16))):
        size -= len(piece)
    path = environ["PATH_INFO"]
    time.sleep(pages.seconds(path))
    body = pages.body(path)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
