"""telnet talks to the echo server, captured on all interfaces at once (the experiment on port 9502).

`tcpdump -i any` writes another link type, in which each packet says which way it went (LINUX_SLL2).
"""

from collections.abc import Iterable

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 3
PORT = 9502
COOKED = 113, 276
"""LINKTYPE_LINUX_SLL and, from libpcap 1.10 on, LINKTYPE_LINUX_SLL2."""


async def play(lab: Lab) -> None:
    host, port = await lab.serve("echo", port=PORT, process=True)
    telnet = await lab.start("telnet", host, str(port), package="telnet")
    await telnet.until_printed(b"Escape character")
    await telnet.type("hello\n")
    await telnet.until_printed(b"server got:hello")
    telnet.end_of_input()
    await telnet.ended()
    await lab.see("client", State.TIME_WAIT)
    await lab.see_gone("server")


def after(experiment: Experiment) -> Iterable[Check]:
    link_type = experiment.recording.link_type
    yield check("capture", "the link type is a cooked one", link_type in COOKED, f"it is {link_type}")


SCENARIO = Scenario(
    name="real-telnet-echo",
    title="telnet and the echo server, captured with -i any",
    rfc="RFC 9293 section 3.4; tcpdump.org, LINKTYPE_LINUX_SLL2",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > P. 1:8(7) ack 1
        < P. 1:19(18) ack 8
        > F. 8:8(0) ack 19
        < F. 19:19(0) ack 9
        > . 9:9(0) ack 20
    """,
    interface="any",
    one_host="its programs talk over the loopback",
    lesson="A person types a line, telnet sends it with CR LF: seven bytes for hello. Seen on any interface "
    "or on one, it is the same conversation.",
    seconds=2.0,
    after=after,
)
