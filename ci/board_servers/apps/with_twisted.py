"""Twisted's web server; its reactor stops at SIGTERM."""

import os

import pages
from twisted.internet import reactor
from twisted.web import resource, server


class Page(resource.Resource):
    isLeaf = True

    def render_GET(self, request):
        path = request.path.decode()
        request.notifyFinish().addErrback(lambda reason: None)
        reactor.callLater(pages.seconds(path), self.answer, request, pages.body(path))
        return server.NOT_DONE_YET

    render_POST = render_GET

    def answer(self, request, body):
        if request.channel is not None:
            request.setHeader("Content-Length", str(len(body)))
            request.write(body)
            request.finish()


reactor.listenTCP(int(os.environ["PORT"]), server.Site(Page(), timeout=3), interface="127.0.0.1")
reactor.run()
