"""An abort sends one RST from wherever the connection is, and ends the other end wherever that is.

RFC 9293 section 3.10.5 has the ABORT, section 3.10.7.4 the RST that arrives.  The link loses or holds
what would take either end further, and so each pair of states stands still until one end aborts: by
close() with SO_LINGER {1, 0}, or, once its own FIN is out and that no longer counts, with data unread.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from ...lab import Check, Client, Experiment, Lab, ScriptedSocket
from ...lab.judgement import check
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 1.5
RTO_MIN = 5.0
"""Seconds: nothing that is lost is sent again meanwhile."""
S = State


class Row(NamedTuple):
    """Who aborts, in which state, and which state the RST ends.

    lost  what the link keeps to itself
    walk  the way there
    """

    aborting: str
    state: State
    other: State
    lost: tuple[str, ...]
    walk: Callable[[Lab, Client, ScriptedSocket], Awaitable[None]]
    transcript: str


async def _client_fin(lab: Lab, client: Client, accepted: ScriptedSocket) -> None:
    client.half_close()
    await accepted.recv_to_end()


async def _server_fin(lab: Lab, client: Client, accepted: ScriptedSocket) -> None:
    accepted.half_close()
    await client.recv_to_end()


async def _both_fins(lab: Lab, client: Client, accepted: ScriptedSocket) -> None:
    await _client_fin(lab, client, accepted)
    await lab.see("client", S.FIN_WAIT_2, client=client)
    accepted.half_close()


async def _client_first(lab: Lab, client: Client, accepted: ScriptedSocket) -> None:
    await client.send(b"hello")
    client.half_close()
    await lab.see("server", S.CLOSE_WAIT, client=client)
    accepted.half_close()


async def _server_first(lab: Lab, client: Client, accepted: ScriptedSocket) -> None:
    await accepted.send(b"hello")
    accepted.half_close()
    await lab.see("client", S.CLOSE_WAIT, client=client)
    client.half_close()


async def _crossed_fins(lab: Lab, client: Client, accepted: ScriptedSocket) -> None:
    await lab.link.watch()
    await accepted.send(b"hello")
    await lab.link.until_passed("> . 1:1(0) ack 6")
    await lab.link.hold("> F.", "< F.")
    client.half_close()
    accepted.half_close()
    held = await lab.link.until_held("> F. 1:1(0) ack 6", "< F. 6:6(0)", count=2)
    await lab.link.release_only(*held)


OPENING = """
    > S 0:0(0)
    < S. 0:0(0) ack 1
    > . 1:1(0) ack 1
"""
ROWS = (
    Row("server", S.FIN_WAIT_1, S.CLOSE_WAIT, ("> . 1:1(0) ack 2",), _server_fin, """
        < F. 1:1(0) ack 1
        < R. 2:2(0) ack 1
    """),
    Row("server", S.CLOSE_WAIT, S.FIN_WAIT_1, ("< . 1:1(0) ack 2",), _client_fin, """
        > F. 1:1(0) ack 1
        < R. 1:1(0) ack 2
    """),
    Row("client", S.FIN_WAIT_2, S.LAST_ACK, ("< F. 1:1(0) ack 2",), _both_fins, """
        > F. 1:1(0) ack 1
        < F. 1:1(0) ack 2
        > R. 2:2(0) ack 1
    """),
    Row("server", S.CLOSE_WAIT, S.FIN_WAIT_2, (), _client_fin, """
        > F. 1:1(0) ack 1
        < R. 1:1(0) ack 2
    """),
    Row("client", S.LAST_ACK, S.TIME_WAIT, ("< . 7:7(0) ack 2",), _server_first, """
        < P. 1:6(5) ack 1
        < F. 6:6(0) ack 1
        > F. 1:1(0) ack 7
        > R. 2:2(0) ack 7
    """),
    Row("server", S.LAST_ACK, S.TIME_WAIT, ("> . 7:7(0) ack 2",), _client_first, """
        > P. 1:6(5) ack 1
        > F. 6:6(0) ack 1
        < F. 1:1(0) ack 7
        < R. 2:2(0) ack 7
    """),
    Row("client", S.CLOSING, S.CLOSING, ("> . 2:2(0) ack 7", "< . 7:7(0) ack 2"), _crossed_fins, """
        < P. 1:6(5) ack 1
        < F. 6:6(0) ack 1
        > F. 1:1(0) ack 6
        > R. 2:2(0) ack 7
    """),
)  # fmt: skip


async def play(lab: Lab) -> None:
    lab.set_rto_min(RTO_MIN)
    server = lab.listen(9502)
    for row in ROWS:
        client = await lab.connect()
        accepted = await server.accept()
        before = _held(lab, row)
        if row.lost:
            await lab.link.hold(*row.lost)
        await row.walk(lab, client, accepted)
        await lab.link.until_held(*row.lost, count=before + len(row.lost))
        ends: dict[str, ScriptedSocket] = {"client": client, "server": accepted}
        aborted = "server" if row.aborting == "client" else "client"
        await lab.see("client", row.state if row.aborting == "client" else row.other, client=client)
        await lab.see("server", row.state if row.aborting == "server" else row.other, client=client)
        if row.state in (S.CLOSING, S.LAST_ACK):
            ends[row.aborting].close()  # with data unread
        else:
            ends[row.aborting].reset()
        await lab.see_gone("client", client=client)
        await lab.see_gone("server", client=client)
        await lab.link.forget()
        ends[aborted].close()


def _held(lab: Lab, row: Row) -> int:
    """How many of its segments the link has held for rows before this one."""
    return sum(event.fate == "held" and event.line in row.lost for event in lab.link.events)


def after(experiment: Experiment) -> Iterable[Check]:
    for row, connection in zip(ROWS, experiment.connections, strict=False):
        ours, theirs = connection.states("client"), connection.states("server")
        if row.aborting == "server":
            ours, theirs = theirs, ours
        yield _ended_in(ours, theirs, row.state, row.other)


def _ended_in(ours: list[str], theirs: list[str], state: State, other: State) -> Check:
    last = [states[-2:] for states in (ours, theirs)]
    return check(
        "kernel",
        f"an RST from {state} ends {other}",
        last == [[state, S.CLOSED], [other, S.CLOSED]],
        f"the two ends went {' and '.join(' to '.join(states) for states in last)}",
    )


SCENARIO = Scenario(
    name="abort-in-every-state",
    title="an RST from every state that can send one, into every state",
    rfc="RFC 9293 sections 3.10.5 and 3.10.7.4",
    play=play,
    transcript=tuple(OPENING + row.transcript for row in ROWS),
    connections=len(ROWS),
    findings=("reset",),
    reset=("TCP_STATE", "TCP_ABORT_ON_CLOSE"),
    hosts=True,
    link=(),
    capture_at="server",
    lesson="Nothing is left of either end, no TIME_WAIT and no wait for an ACK: that is what makes an RST "
    "quick, and what makes it lose data.",
    after=after,
)
