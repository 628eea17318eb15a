"""node answers curl, which closes when it has what it wants (the experiment on port 4000)."""

from ...lab import Lab
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 2
PORT = 4000
SERVER = """
require("http").createServer((request, reply) => {
    reply.sendDate = false;
    reply.writeHead(200, {"Content-Length": 12, "Connection": "keep-alive"});
    reply.end("Hello World!");
}).listen(%d, "%s");
"""
"""Every header that differs from one version of node to the next is its own."""


async def play(lab: Lab) -> None:
    lab.at(lab.host, PORT)
    program = SERVER % (PORT, lab.host)
    node = await lab.start("node", "--eval", program, package="nodejs", side="server")
    await lab.until_listening(node, PORT)
    url = f"http://{lab.host}:{PORT}/"
    curl = await lab.start("curl", "--silent", "--user-agent", "curl", url, package="curl")
    lab.told("curl's exit status is 0", await curl.ended(), 0)
    lab.told("it prints the body", curl.printed, b"Hello World!")
    await lab.see("client", State.TIME_WAIT)
    await lab.see_gone("server")


SCENARIO = Scenario(
    name="real-node-http",
    title="node and curl: GET, Hello World!, and the client closes first",
    rfc="RFC 9112 section 9.3",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > P. 1:72(71) ack 1
        < P. 1:76(75) ack 72
        > F. 72:72(0) ack 76
        < F. 76:76(0) ack 73
        > . 73:73(0) ack 77
    """,
    one_host="its programs talk over the loopback",
    lesson="HTTP/1.1 keeps the connection for the next request. A client that has none closes it, and "
    "TIME_WAIT is the client's.",
    seconds=2.0,
)
