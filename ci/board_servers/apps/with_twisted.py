"""Twisted's web server; its reactor stops at SIGTERM."""

import os

import pages
from twisted.internet import reactor
from twisted.web import resource, server


class Page(resource.Resource):
    isLeaf = True

    def render_GET(self, request):
        path = request.path.decode()
        body = pages.body(path)
        seconds = pages.seconds(path)
        if not seconds:
            return body
        answering = reactor.callLater(seconds, self.answer, request, body)
        request.notifyFinish().addErrback(lambda reason: answering.cancel())
        return server.NOT_DONE_YET

    render_POST = render_GET

    def answer(self, request, body):
        request.setHeader("Content-Length", str(len(body)))
        request.write(body)
        request.finish()


reactor.listenTCP(int(os.environ["PORT"]), server.Site(Page(), timeout=3), interface="127.0.0.1")
reactor.run()
