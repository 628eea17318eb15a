"""Two requests on one connection, then the server's idle timeout closes first (RFC 9112 section 9.5)."""

from collections.abc import Iterable

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...servers.options import Limits
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 4
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost:4000\r\n\r\n"
IDLE = 1.0


async def play(lab: Lab) -> None:
    await lab.serve("http", port=4000, limits=Limits(idle=IDLE))
    client = await lab.connect()
    for _ in range(2):
        await client.send(REQUEST)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += await client.recv_exactly(1)
        await client.recv_exactly(len(b"Hello World!"))
    rest, told = await client.recv_to_end()
    lab.told("nothing more comes, and then the server closes", (rest, told), (b"", "EOF"))
    client.close()
    await lab.see("server", State.TIME_WAIT)
    await lab.see_gone("client")


def after(experiment: Experiment) -> Iterable[Check]:
    connection = experiment.connection
    first = connection.first_fin
    yield check("wire", "the server closes first", first is connection.server, f"{first and first.side}")
    replies = [
        e.segment.time_ns for e in connection.exchanges or () if not e.from_client and e.segment.length
    ]
    idle = (connection.server.fin_time - replies[-1]) / 1e9
    # The server's timer starts once the kernel has the reply; asyncio's clock ticks add a little.
    yield check(
        "wire", f"after its idle timeout of {IDLE:g} s", IDLE - 0.02 <= idle < IDLE + 1, f"after {idle:.3f} s"
    )
    yield check(
        "wire",
        "both requests went over one connection",
        connection.client.payload_bytes == 2 * len(REQUEST),
        f"it carried {connection.client.payload_bytes} bytes of requests",
    )


SCENARIO = Scenario(
    name="http-keep-alive",
    title="two requests on one connection, then the idle timeout closes",
    rfc="RFC 9112 sections 9.3 and 9.5",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > P. 1:41(40) ack 1
        < P. 1:130(129) ack 41      # as long every day: a Date header always has 29 characters
        > P. 41:81(40) ack 130
        < P. 130:259(129) ack 81
        < F. 259:259(0) ack 81
        > F. 81:81(0) ack 260
        < . 260:260(0) ack 82
    """,
    lesson="A request sent at the moment of the server's timeout meets a closing connection: clients must be "
    "ready to retry.",
    seconds=IDLE,
    after=after,
)
