"""redis closes first: CLIENT KILL ends the connection that asked for it (the experiment on port 6378).

The client is telnet, which closes when it reads the end.  Four segments, and TIME_WAIT on the server.
"""

from collections.abc import Iterable

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 1
PORT = 6378
KILL = "CLIENT KILL TYPE normal SKIPME no"
"""All clients; the one that asks is answered first."""


async def play(lab: Lab) -> None:
    lab.at(lab.host, PORT)
    options = ["--bind", lab.host, "--port", str(PORT), "--save", "", "--appendonly", "no", "--dir", "/tmp"]  # noqa: S108
    redis = await lab.start("redis-server", *options, package="redis-server", side="server")
    await lab.until_listening(redis, PORT)
    telnet = await lab.start("telnet", lab.host, str(PORT), package="telnet")
    await telnet.until_printed(b"Escape character")
    await telnet.type("PING\n")
    await telnet.until_printed(b"+PONG")
    await telnet.type(f"{KILL}\n")
    await telnet.until_printed(b":1")
    await telnet.until_printed(b"closed by foreign host")
    await telnet.ended()
    await lab.see("server", State.TIME_WAIT)
    await lab.see_gone("client")


def after(experiment: Experiment) -> Iterable[Check]:
    connection = experiment.connection
    closer = connection.closed_by
    yield check("wire", "the server closes first", closer == "server", f"{closer} does")
    segments = connection.close_segments
    yield check("wire", "in three or four segments", segments in (3, 4), f"in {segments}")


SCENARIO = Scenario(
    name="real-redis",
    title="redis and telnet: CLIENT KILL makes the server close first",
    rfc="RFC 9293 section 3.6; redis.io, CLIENT KILL",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > P. 1:7(6) ack 1
        < P. 1:8(7) ack 7
        > P. 7:42(35) ack 8
        < P. 8:12(4) ack 42
        < F. 12:12(0) ack 42
        > F. 42:42(0) ack 13
        < . 13:13(0) ack 43
    """,
    one_host="its programs talk over the loopback",
    lesson="Whoever closes first keeps the address pair in TIME_WAIT. A server that ends its clients' "
    "connections collects them.",
    seconds=2.0,
    after=after,
)
