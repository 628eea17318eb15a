"""Three segments open a connection: SYN, SYN-ACK, ACK (RFC 9293 section 3.5, figure 6)."""

from collections.abc import Iterable

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...tcp.states import State
from ...wire import options
from ..scenario import Scenario

ORDER = 1
MSS = (1460, 65495)
"""On the private network's loopback (MTU 1500), and on a host's (MTU 65536; the kernel takes one less)."""


async def play(lab: Lab) -> None:
    await lab.serve("echo", port=9502)
    client = await lab.connect()
    await lab.see("client", State.ESTABLISHED)
    await lab.see("server", State.ESTABLISHED)
    client.close()
    await lab.see_gone("server")


def after(experiment: Experiment) -> Iterable[Check]:
    exchanges = experiment.connection.exchanges or []
    syn, syn_ack = exchanges[0].segment, exchanges[1].segment
    assert syn.seq is not None and syn_ack.seq is not None
    yield check(
        "wire",
        "each SYN's number is acknowledged as one more: a SYN takes one",
        syn_ack.ack == (syn.seq + 1) % 2**32 and exchanges[2].segment.ack == (syn_ack.seq + 1) % 2**32,
        f"SYN {syn.seq}, SYN-ACK {syn_ack.seq} ack {syn_ack.ack}, ACK ack {exchanges[2].segment.ack}",
    )
    for name, segment in (("SYN", syn), ("SYN-ACK", syn_ack)):
        raw = segment.options
        offered = (options.mss(raw), options.sack_permitted(raw), options.window_scale(raw) is not None)
        yield check(
            "wire",
            f"the {name} offers an MSS, SACK, window scale and timestamps; the MSS is the MTU less 40 bytes",
            offered[0] in MSS and offered[1:] == (True, True) and options.timestamps(raw) is not None,
            f"it offered {options.describe(raw)}",
        )
    expected = ["SYN_SENT", "ESTABLISHED"], ["SYN_RECEIVED", "ESTABLISHED"]
    connection = experiment.connection
    walked = tuple(
        [str(t.state) for t in end.transitions][:2] for end in (connection.client, connection.server)
    )
    yield check(
        "wire", "SYN_SENT / SYN_RECEIVED, then ESTABLISHED at both ends", walked == expected, f"{walked}"
    )


SCENARIO = Scenario(
    name="handshake",
    title="three segments open a connection",
    rfc="RFC 9293 section 3.5",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > F. 1:1(0) ack 1
        < F. 1:1(0) ack 2
        > . 2:2(0) ack 2
    """,
    lesson="Each side announces its initial sequence number with a SYN and has it acknowledged; "
    "the server's SYN rides on its ACK, so three segments are enough.",
    after=after,
)
