"""nginx ends an idle connection by its timeout, and on SIGQUIT at once; then it is gone, with status 0."""

import os
import signal
from collections.abc import Iterable

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 4
PORT = 4001
IDLE = 2
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
BODY = b"Hello World!"
ROOT = "user root;" if os.geteuid() == 0 else ""
CONFIGURATION = f"""
daemon off; pid /tmp/pid; error_log stderr; {ROOT}
events {{ worker_connections 64; }}
http {{
  access_log off; server_tokens off; default_type text/plain; keepalive_timeout {IDLE}s;
  client_body_temp_path /tmp/1; proxy_temp_path /tmp/2; fastcgi_temp_path /tmp/3;
  uwsgi_temp_path /tmp/4; scgi_temp_path /tmp/5;
  server {{ listen %s:%d; location / {{ return 200 "{BODY.decode()}"; }} }}
}}
"""


async def play(lab: Lab) -> None:
    lab.at(lab.host, PORT)
    command = ["-p", "/tmp", "-e", "stderr", "-c", "{file}"]  # noqa: S108
    configuration = CONFIGURATION % (lab.host, PORT)
    nginx = await lab.start("nginx", *command, package="nginx", side="server", file=configuration)
    await lab.until_listening(nginx, PORT)
    for stop in (False, True):
        client = await lab.connect()
        await client.send(REQUEST)
        reply = b""
        while not reply.endswith(BODY):
            reply += await client.recv_exactly(1)
        if stop:
            nginx.signal(signal.SIGQUIT)
        lab.told("nothing more comes, and then the server closes", await client.recv_to_end(), (b"", "EOF"))
        client.close()
        await lab.see("server", State.TIME_WAIT, client=client)
    lab.told("after SIGQUIT nginx ends with status 0", await nginx.ended(), 0)


def after(experiment: Experiment) -> Iterable[Check]:
    idle, stopped = experiment.connections
    for connection in (idle, stopped):
        closer = connection.closed_by
        yield check("wire", "the server closes first", closer == "server", f"{closer} does")
    replies = [e.segment.time_ns for e in idle.exchanges or () if not e.from_client and e.segment.length]
    waited = (idle.server.fin_time - replies[-1]) / 1e9
    # nginx counts in milliseconds of its own cached clock
    yield check("wire", f"after {IDLE} s without a request", waited >= IDLE - 0.1, f"after {waited:.3f} s")


SCENARIO = Scenario(
    name="real-nginx",
    title="nginx closes by its keep-alive timeout, and on SIGQUIT at once",
    rfc="RFC 9112 section 9.5; nginx.org, Controlling nginx",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > P. 1:36(35) ack 1
        < P. 1:154(153) ack 36
        < F. 154:154(0) ack 36
        > F. 36:36(0) ack 155
        < . 155:155(0) ack 37
    """,
    connections=2,
    one_host="its programs talk over the loopback",
    lesson="Some servers have a signal of their own for stopping in order: nginx's is SIGQUIT. SIGTERM would "
    "not have waited for a reply under way.",
    seconds=IDLE + 1.0,
    after=after,
)
