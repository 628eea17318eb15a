"""What is otherwise: for each scenario a server, a network or a program that it must fail with.

The lab is the real one, with real sockets on the real kernel.  Only what it is asked to do is done
otherwise: by a lab of another class, or by another function in the place of one of its steps.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Self

from testbed.lab import Client, Lab, Program, ScriptedServer, ScriptedSocket
from testbed.net.link import Link
from testbed.scenarios.play import JudgedLab

PATIENCE = 0.5
"""Seconds that a lab waits here for what will not come."""

Instead = Mapping[tuple[type, str], Callable[..., Any]]
"""By class and name of a method: what is called in its place."""


class Impatient(JudgedLab):
    """A lab that does not wait for long."""

    async def see(self, *arguments: Any, **options: Any) -> Any:
        return await super().see(*arguments, **{**options, "timeout": PATIENCE})

    async def see_gone(self, *arguments: Any, **options: Any) -> None:
        await super().see_gone(*arguments, **{**options, "timeout": PATIENCE})

    async def see_reading(self, *arguments: Any, **options: Any) -> None:
        await super().see_reading(*arguments, **{**options, "timeout": PATIENCE})

    async def see_many(self, *arguments: Any, **options: Any) -> int:
        return await super().see_many(*arguments, **{**options, "timeout": PATIENCE})

    async def see_counted(self, *arguments: Any, **options: Any) -> None:
        await super().see_counted(*arguments, **{**options, "timeout": PATIENCE})

    async def pause(self, seconds: float, why: str) -> None:
        await super().pause(min(seconds, PATIENCE), why)

    async def until_server(self, *arguments: Any, **options: Any) -> None:
        await asyncio.sleep(0)

    def client(self, *, timeout: float = 2.0, port: int = 0) -> Client:
        return super().client(timeout=2.0, port=port)

    def listen(self, *arguments: Any, **options: Any) -> ScriptedServer:
        server = super().listen(*arguments, **options)
        server.timeout = 2.0
        return server


class OtherEnding(Impatient):
    """Its server ends connections otherwise than the scenario asks for."""

    instead = ""

    async def serve(self, kind: str = "echo", **options: Any) -> tuple[str, int]:
        options.pop("delay", None)
        options.pop("limits", None)
        return await super().serve(kind, **{**options, "ending": self.instead, "port": 0})


def ending(name: str) -> type[Impatient]:
    return type(f"Ends_{name}", (OtherEnding,), {"instead": name})


class LongBacklog(Impatient):
    """Its listener's queue is never full."""

    def listen(self, *arguments: Any, **options: Any) -> ScriptedServer:
        return super().listen(*arguments, **{**options, "backlog": 128})


class SomebodyListens(Impatient):
    """There is a server where there should be none."""

    def at(self, host: str, port: int) -> None:
        self.listen(port, host=host)


class AcknowledgesAtOnce(Impatient):
    """Its network's route asks for ACKs at once (ip-route(8), quickack)."""

    async def __aenter__(self) -> Self:
        words = "ip route replace local 127.0.0.1 dev lo proto kernel scope host src 127.0.0.1 table local"
        subprocess.run([*words.split(), "quickack", "1"], check=True, timeout=20)
        return await super().__aenter__()


class PassesAll(Impatient):
    """Its link begins without a rule."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "link": ()})


class LosesResets(Impatient):
    """Its link loses the client's RSTs."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "link": ("drop > R",)})


class OtherWords(Impatient):
    """What its programs are told, on the command line, in a file or by typing, is another word."""

    before, after = "", ""

    async def start(self, *command: str, **options: Any) -> Program:
        options["file"] = options.get("file", "").replace(self.before, self.after)
        words = (word.replace(self.before, self.after) for word in command)
        program = await super().start(*words, **options)
        told = program.type

        async def type_otherwise(text: str) -> None:
            await told(text.replace(self.before, self.after))

        program.type = type_otherwise  # type: ignore[method-assign]
        return program


def wording(before: str, after: str) -> type[Impatient]:
    return type("Says", (OtherWords,), {"before": before, "after": after})


def nothing(*arguments: Any, **options: Any) -> Any:
    """Done at once."""
    return contextlib.nullcontext()


async def nothing_more(*arguments: Any, **options: Any) -> Any:
    """The same of what is awaited."""
    return []


def send_plainly(self: ScriptedSocket, data: bytes) -> None:
    self.socket.send(data)


def shut_both(self: ScriptedSocket) -> None:
    SHUTDOWN_READ(self)
    self.half_close()


async def connect_first(self: Client, data: bytes) -> str:
    return await self.connect()


SHUTDOWN_READ = ScriptedSocket.shutdown_read
AS_IT_IS: Instead = MappingProxyType({})
ROOMY: Instead = {(ScriptedSocket, "receive_buffer"): nothing, (ScriptedServer, "receive_buffer"): nothing}
RESETS: Instead = {(ScriptedSocket, "close"): ScriptedSocket.reset}
HALF_CLOSES: Instead = {(ScriptedSocket, "close"): ScriptedSocket.half_close}
CLOSES: Instead = {
    (ScriptedSocket, "reset"): ScriptedSocket.close,
    (ScriptedSocket, "vanish"): ScriptedSocket.close,
}
DOES_NOT_COPY: Instead = {(ScriptedSocket, "duplicate"): lambda descriptor: descriptor}
LOSES_NOTHING: Instead = {(Lab, "drop"): nothing}
NO_RULES: Instead = {(Link, "rule"): nothing_more, (Link, "until_held"): nothing_more}
NO_FORGERY: Instead = {(Link, "inject"): nothing_more, (Link, "until_passed"): nothing_more}


class Twin(NamedTuple):
    """The scenario, what the failure must tell, and what is otherwise.

    sysctls  of one host's network, in place of the scenario's
    """

    scenario: str
    told: str
    lab: type[Impatient] = Impatient
    instead: Instead = AS_IT_IS
    sysctls: Mapping[str, int] = MappingProxyType({})


TWINS = (
    Twin("handshake", "+ < R. 1:1(0) ack 2", ending("linger-zero")),
    Twin("handshake-without-accept", "found: ", ending("polite")),
    Twin("refused", "was told 'connected', not 'ECONNREFUSED'", SomebodyListens),
    Twin("unreachable", "was told 'connected', not 'ENETUNREACH'", instead=LOSES_NOTHING),
    Twin("unanswered", "was told 'ECONNREFUSED', not 'ETIMEDOUT'", instead=LOSES_NOTHING),
    Twin("fast-open", "bytes: [0, 0]", instead={(Client, "connect_with"): connect_first}),
    Twin("backlog-full", "they moved: ListenOverflows 0, ListenDrops 0", LongBacklog),
    Twin("syn-flood", "they moved: TCPReqQFullDrop 0", LongBacklog),
    Twin("listener-closed-with-backlog", "no answer in time", instead={(ScriptedServer, "close"): nothing}),
    Twin("lost-third-ack", "is an ACK alone", instead=NO_RULES),
    Twin("simultaneous-open", "not seen in SYN_RECEIVED", instead=NO_RULES),
    Twin("mss", "they said (1460, 1460)", instead={(Lab, "set_mtu"): nothing}),
    Twin("old-duplicate-syn", "was still there after 0.5 s", LosesResets),
    Twin("port-reuse", "not (b'', 'EOF')", instead=RESETS),
    Twin("echo-exchange", "- < F. 19:19(0) ack 9", ending("never")),
    Twin("rpc-call", "+ < R. 255:255(0) ack 106", ending("linger-zero")),
    Twin("http-request", "not 'EOF'", ending("linger-zero")),
    Twin("http-keep-alive", "no answer in time", ending("polite")),
    Twin("zero-window", "window 0 in frames [], probes [], updates []", instead=ROOMY),
    Twin("window-scale", "it was carried by (True, True)", instead={(Lab, "set_sysctl"): nothing}),
    Twin("lost-segment", "1 data segments, 0 again", PassesAll),
    Twin("out-of-order", "they moved: TCPOFOQueue 0", instead=NO_RULES),
    Twin("fast-retransmit", "they moved: TCPFastRetrans 0", instead=NO_RULES),
    Twin("delayed-ack", "an ACK came by itself before the reply", AcknowledgesAtOnce),
    Twin("nagle", "the ACK came before it", instead={(ScriptedSocket, "no_delay"): nothing}),
    Twin("urgent", "0 of 1 have", instead={(ScriptedSocket, "send_urgent"): send_plainly}),
    Twin("four-way-close", "was not seen in TIME_WAIT", ending("never")),
    Twin("three-segment-close", "it took 4", ending("slow")),
    Twin("server-closes-first", "not (18, 'EOF')", ending("polite")),
    Twin("half-close", "+ < P. 1:19(18) ack 8", ending("polite")),
    Twin("half-close-refused", "not (b'', 'EOF')", ending("polite")),
    Twin("simultaneous-close", "not seen in CLOSING", instead=NO_RULES),
    Twin("close-with-unsent-data", "s before", instead=ROOMY),
    Twin("shutdown-read", "came after it", instead={(ScriptedSocket, "shutdown_read"): shut_both}),
    Twin(
        "shared-descriptor",
        "was not seen in ESTABLISHED",
        instead=DOES_NOT_COPY,
    ),
    Twin("lost-fin", "it sent 1", PassesAll),
    Twin("lost-last-ack", "it sent 1", PassesAll),
    Twin("time-wait", "was not seen in TIME_WAIT", ending("polite")),
    Twin("fin-overtakes-data", "+ > P. 1:10(9) ack 1", instead={**NO_RULES, **NO_FORGERY}),
    Twin("linger-seconds", "was told False, not True", instead=NO_RULES),
    Twin("fin-wait-2-timeout", "was still there after 0.5 s", sysctls={"tcp_fin_timeout": 60}),
    Twin("linger-zero", "was told 'EOF', not 'ECONNRESET'", ending("polite")),
    Twin("unread-data", "not 'ECONNRESET'", ending("polite")),
    Twin("write-after-close", "not 'EPIPE'", instead=HALF_CLOSES),
    Twin(
        "reset-before-accept",
        "was told (b'', 'EOF')",
        instead=CLOSES,
    ),
    Twin("time-wait-assassination", "not seen in TIME_WAIT", instead={(Lab, "set_sysctl"): nothing}),
    Twin("process-killed", "not (b'', 'ECONNRESET')", ending("polite")),
    Twin("early-reply", "were lost", instead=ROOMY),
    Twin("missing-fin", "+ < F. 255:255(0) ack 106", ending("polite")),
    Twin("missing-fin-orphan", "+ < F. 255:255(0) ack 106", ending("polite")),
    Twin(
        "close-wait-leak",
        "there is no such socket",
        instead=RESETS,
    ),
    Twin("many-connections", "+ < R. 19:19(0) ack 9", ending("linger-zero")),
    Twin("dead-peer", "not (b'', 'ETIMEDOUT')", instead=LOSES_NOTHING),
    Twin("dead-peer-with-data", "no answer in time", instead={(Lab, "cut_wire"): nothing_more}),
    Twin(
        "half-open-after-crash",
        "not (b'', 'ECONNRESET')",
        instead=CLOSES,
    ),
    Twin("idle-middlebox", "no answer in time", instead=NO_RULES),
    Twin("challenge-ack", "no answer in time", instead=NO_FORGERY),
    Twin("connect-abandoned", "not seen in SYN_SENT", instead=NO_RULES),
    Twin("close-in-syn-received", "not seen in SYN_RECEIVED", instead=NO_RULES),
    Twin("lost-ack-of-fin", "not seen in LAST_ACK", instead=NO_RULES),
    Twin("abort-in-every-state", "FIN_WAIT_2", instead=CLOSES),
    Twin("abort-in-syn-received", "was told (b'', 'EOF')", instead=CLOSES),
    Twin("real-redis", "telnet did not print ':1'", wording("CLIENT KILL", "CLIENT LIST")),
    Twin("real-node-http", "+ < P. 1:71(70) ack 72", wording("keep-alive", "close")),
    Twin("real-telnet-echo", "not seen in TIME_WAIT", ending("never")),
    Twin("real-nginx", "after 1.", wording("keepalive_timeout 2s", "keepalive_timeout 1s")),
)
