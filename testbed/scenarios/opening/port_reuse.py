"""The same four-tuple again while the old connection is in TIME_WAIT (RFC 9293 section 3.6.1, RFC 6191).

The server closed first and is in TIME_WAIT.  A new SYN from the same port is welcome all the same,
because its number is above the last one of the old connection: no segment of then can be taken for
one of now.
"""

from collections.abc import Iterable

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...tcp.states import State
from ...wire.seq import after as above
from ..scenario import Scenario

ORDER = 10
CLIENT_PORT = 29504


async def play(lab: Lab) -> None:
    server = lab.listen(9502)
    for again in (False, True):
        if again:
            await lab.pause(0.1, "in TIME_WAIT")
        client = await lab.connect(port=CLIENT_PORT)
        accepted = await server.accept()
        await lab.see("server", State.ESTABLISHED, client=client)
        accepted.close()
        lab.told("the client reads the end", await client.recv_to_end(), (b"", "EOF"))
        client.close()
        await lab.see("server", State.TIME_WAIT, client=client)
        await lab.see_gone("client", client=client)


def after(experiment: Experiment) -> Iterable[Check]:
    old, new = experiment.connections
    ports = [connection.addresses[0].port for connection in (old, new)]
    yield check("wire", "the client has the same port", len(set(ports)) == 1, f"its ports were {ports}")
    for side, then, now in (("client", old.client, new.client), ("server", old.server, new.server)):
        assert then.next_seq is not None and now.base is not None
        yield check(
            "wire",
            f"the {side}'s new initial number is above all that it used before",
            above(now.base, then.next_seq),
            f"{now.base}, after {then.next_seq}",
        )


SCENARIO = Scenario(
    name="port-reuse",
    title="the same addresses and ports again, out of TIME_WAIT",
    rfc="RFC 9293 section 3.6.1; RFC 6191",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        < F. 1:1(0) ack 1
        > F. 1:1(0) ack 2
        < . 2:2(0) ack 2
    """,
    connections=2,
    hosts=True,
    lesson="TIME_WAIT holds a port against the end that closed first and its bind(), not against a client "
    "that comes back: a rising initial number is proof enough.",
    after=after,
)
