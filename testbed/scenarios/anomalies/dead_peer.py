"""The peer is cut off and says nothing: keepalive finds out (RFC 9293 section 3.8.4)."""

from collections.abc import Iterable

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 5
IDLE, INTERVAL, COUNT = 2, 1, 3


async def play(lab: Lab) -> None:
    server = lab.listen(9502)
    await lab.connect()
    accepted = await server.accept()
    accepted.keep_alive(IDLE, INTERVAL, COUNT)
    await lab.see_reading("server", "keepalive-armed")
    with lab.drop("tcp", "sport", "9502"):
        lab.step(f"server waits: keepalive after {IDLE} s, {COUNT} probes {INTERVAL} s apart")
        lab.told("recv() fails with ETIMEDOUT", await accepted.recv_to_end(), (b"", "ETIMEDOUT"))
        await lab.see_gone("server")
        await lab.see("client", State.ESTABLISHED)


def after(experiment: Experiment) -> Iterable[Check]:
    connection = experiment.connection
    exchanges = connection.exchanges or []
    probes = [e.segment for e in exchanges if not e.from_client and e.seq == 0 and e.segment.flags == 0x10]
    yield check(
        "wire",
        f"{COUNT} probes, one below the next number",
        len(probes) == COUNT,
        f"there were {len(probes)}",
    )
    last = exchanges[-1]
    yield check(
        "wire",
        "and at last an RST, though nobody will get it",
        connection.reset_by is connection.server and bool(last.segment.flags & 0x04),
        f"the last segment is frame {last.segment.frame}, flags {last.segment.flags:#x}",
    )


SCENARIO = Scenario(
    name="dead-peer",
    title="keepalive finds a peer that is gone: ETIMEDOUT, and an RST",
    rfc="RFC 9293 section 3.8.4; tcp(7), TCP_KEEPIDLE",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        < . 0:0(0) ack 1
        < R. 1:1(0) ack 1
    """,
    findings=("reset", "keepalive-unanswered"),
    seconds=IDLE + INTERVAL * COUNT + 1.0,
    reset=("TCP_KEEPALIVE_TIMEOUT",),
    one_host="a packet filter loses the packets at the one host's input",
    lesson="Without keepalive this server would wait for ever; with Linux's default of two hours, nearly so.",
    after=after,
)
