"""The same, but the client calls close(): its kernel waits tcp_fin_timeout for the FIN, and then forgets.

The client's side has no application any more.  It is an orphan in FIN_WAIT_2 that counts down and
then is gone *without a packet*; the server's next keepalive probe draws RST.
"""

from collections.abc import Iterable

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...servers.rpc import query_call
from ...tcp.notes import Note
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 2
KEEPALIVE = 15
FIN_TIMEOUT = 20


async def play(lab: Lab) -> None:
    await lab.serve(
        "rpc",
        port=2333,
        ending="never",
        process=True,
        keepalive_idle=KEEPALIVE,
        keepalive_interval=KEEPALIVE,
        keepalive_count=8,
    )
    client = await lab.connect()
    await client.send(query_call())
    await client.recv_exactly(254)
    client.close()
    await lab.see("server", State.CLOSE_WAIT)
    await lab.see("client", State.FIN_WAIT_2)
    await lab.see_reading("client", "orphan-countdown")
    await lab.see_reading("server", "not-closed")
    await lab.see_reading("server", "keepalive-armed")
    lab.step(f"waits {FIN_TIMEOUT} s: tcp_fin_timeout of an orphan")
    await lab.see_gone("client", timeout=FIN_TIMEOUT * 1.125 + 5)
    lab.step("client is gone without a packet")
    await lab.see_reading("server", "peer-gone")
    await lab.see_gone("server", timeout=KEEPALIVE * 1.125 + 5)


def after(experiment: Experiment) -> Iterable[Check]:
    connection = experiment.connection
    probes = connection.frames(Note.KEEP_ALIVE)
    ours = connection.frames(Note.KEEP_ALIVE, True)
    yield check(
        "wire", "only the server probes", bool(probes) and not ours, f"probes {probes}, the client's {ours}"
    )
    by = connection.reset_by
    yield check(
        "wire",
        "the last probe draws an RST from the client's kernel",
        by is connection.client and bool(probes) and connection.reset_frame == probes[-1] + 1,
        f"RST in frame {connection.reset_frame} by {by.side if by else 'nobody'}, probes {probes}",
    )


SCENARIO = Scenario(
    name="missing-fin-orphan",
    title="the client closed for good: probes one way, a silent end, an RST",
    rfc="RFC 9293 section 3.6; tcp(7), tcp_fin_timeout",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > P. 1:105(104) ack 1
        < P. 1:255(254) ack 105
        > F. 105:105(0) ack 255
        < . 255:255(0) ack 106
        < . 254:254(0) ack 106      # the server's keepalive probe
        > . 106:106(0) ack 255
        < . 254:254(0) ack 106      # the last one: nobody is there any more
        > R 106:106(0)
    """,
    findings=("missing-fin", "reset"),
    reset=("NO_SOCKET",),
    lesson="Half of a leak can disappear by itself: the client's kernel forgets after tcp_fin_timeout, "
    "the server's only learns of it by a probe.",
    seconds=FIN_TIMEOUT * 1.125 + KEEPALIVE,
    sysctls={"tcp_fin_timeout": FIN_TIMEOUT},
    after=after,
)
