"""Each expectation can fail: where a server or a network behaves otherwise it does, and says how."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, Self

import pytest

from testbed.errors import Error
from testbed.lab import Client, Program, ScriptedServer, ScriptedSocket, Verdict
from testbed.lab.judgement import worst
from testbed.net import sysctl
from testbed.net.link import Link
from testbed.net.private import PrivateNetwork
from testbed.scenarios import catalogue, find
from testbed.scenarios.play import JudgedLab, judge_experiment, lab_of

PATIENCE = 0.5
"""Seconds that a lab waits here for what will not come."""


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
        return await super().serve(kind, **{**options, "ending": self.instead})


def ending(name: str) -> type[Impatient]:
    return type(f"Ends_{name}", (OtherEnding,), {"instead": name})


class Roomy(Impatient):
    """Its receivers have room for everything."""

    def client(self, **options: Any) -> Client:
        client = super().client(**options)
        client.receive_buffer = _leave_it  # type: ignore[method-assign]
        return client

    def listen(self, *arguments: Any, **options: Any) -> ScriptedServer:
        server = super().listen(*arguments, **options)
        server.receive_buffer = _leave_it  # type: ignore[method-assign]
        return server


def _leave_it(size: int) -> None:
    pass


class LongBacklog(Impatient):
    """Its listener's queue is never full."""

    def listen(self, *arguments: Any, **options: Any) -> ScriptedServer:
        return super().listen(*arguments, **{**options, "backlog": 128})


class LosesNothing(Impatient):
    """Its network has no filter."""

    def drop(self, *match: str, once: bool = False) -> Any:
        return contextlib.nullcontext()


class AcknowledgesAtOnce(Impatient):
    """Its network's route asks for ACKs at once (ip-route(8), quickack)."""

    async def __aenter__(self) -> Self:
        words = "ip route replace local 127.0.0.1 dev lo proto kernel scope host src 127.0.0.1 table local"
        subprocess.run([*words.split(), "quickack", "1"], check=True, timeout=20)
        return await super().__aenter__()


class PassesAll(Impatient):
    """Its link does nothing to any segment."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "link": ()})

    @property
    def link(self) -> Link:
        link = super().link
        link.rule = _do_nothing  # type: ignore[method-assign]
        link.until_held = _do_nothing  # type: ignore[method-assign]
        return link


async def _do_nothing(*rules: str, **options: Any) -> Any:
    return []


class NeverHurries(Impatient):
    """Its clients leave Nagle's algorithm on."""

    def client(self, **options: Any) -> Client:
        client = super().client(**options)
        client.no_delay = lambda: None  # type: ignore[method-assign]
        return client


class CarriesAll(Impatient):
    """Its link does nothing to any segment, forges none, and is waited for in vain."""

    @property
    def link(self) -> Link:
        link = super().link
        link.rule = _do_nothing  # type: ignore[method-assign]
        link.inject = _do_nothing  # type: ignore[method-assign]
        wait = link._until

        async def until(condition: Callable[[], bool], timeout: float, otherwise: str) -> None:
            await wait(condition, min(timeout, PATIENCE), otherwise)

        link._until = until  # type: ignore[method-assign]
        return link


class WireStays(Impatient):
    """Its wire is not cut."""

    async def cut_wire(self) -> None:
        pass


class OneMtu(Impatient):
    """Its wire is as wide as ever."""

    def set_mtu(self, *arguments: Any) -> None:
        pass


class AnyPort(Impatient):
    """Its clients' ports are the kernel's choice."""

    def client(self, *, timeout: float = 2.0, port: int = 0) -> Client:
        return super().client(timeout=timeout)


class SomebodyListens(Impatient):
    """There is a server where none should be."""

    def at(self, host: str, port: int) -> None:
        self.listen(port, host=host)


class OtherCalls(Impatient):
    """Its scripted sockets do something else when they are told to do one thing."""

    calls: ClassVar[dict[tuple[type, str], Any]] = {}

    async def __aenter__(self) -> Self:
        for (kind, name), instead in self.calls.items():
            self._stack.callback(setattr, kind, name, getattr(kind, name))
            setattr(kind, name, instead)
        return await super().__aenter__()


def calling(name: str, instead: Any, kind: type = ScriptedSocket) -> type[Impatient]:
    """A lab in which the sockets' `name` is `instead`; by name: another method of theirs."""
    if isinstance(instead, str):
        instead = getattr(kind, instead)
    return type(f"Otherwise_{name}", (OtherCalls,), {"calls": {(kind, name): instead}})


def _send_as_data(sock: ScriptedSocket, data: bytes) -> None:
    sock.socket.send(data)


def _shut_both(sock: ScriptedSocket) -> None:
    sock._stamp("shutdown(SHUT_RD)")
    sock.socket.shutdown(socket.SHUT_RDWR)


async def _read_and_close(sock: ScriptedSocket, limit: int = 1 << 24) -> tuple[bytes, str]:
    told = await READ_TO_END(sock, limit)
    sock.close()
    return told


READ_TO_END = ScriptedSocket.recv_to_end


class OtherCommands(Impatient):
    """The programs that it starts are told something else."""

    words: ClassVar[dict[str, str]] = {}

    async def start(self, *command: str, **options: Any) -> Program:
        for before, after in self.words.items():
            command = tuple(word.replace(before, after) for word in command)
            options = {k: v.replace(before, after) if k == "file" else v for k, v in options.items()}
        program = await super().start(*command, **options)
        ask = Program.type

        async def ask_otherwise(text: str) -> None:
            for before, after in self.words.items():
                text = text.replace(before, after)
            await ask(program, text)

        program.type = ask_otherwise  # type: ignore[method-assign]
        return program


def told_instead(before: str, after: str) -> type[Impatient]:
    return type("Told", (OtherCommands,), {"words": {before: after}})


class Otherwise(Impatient):
    """It is the setting of its network that is another one: see `Twin.sysctls`."""


class Twin(NamedTuple):
    """The scenario, what is otherwise, and what the failure must tell.

    sysctls  of one host's network, in place of the scenario's
    """

    scenario: str
    lab: type[Impatient]
    told: str
    sysctls: dict[str, int] | None = None


TWINS = (
    Twin("handshake", ending("linger-zero"), "+ < R. 1:1(0) ack 2"),
    Twin("echo-exchange", ending("never"), "- < F. 19:19(0) ack 9"),
    Twin("rpc-call", ending("linger-zero"), "+ < R. 255:255(0) ack 106"),
    Twin("three-segment-close", ending("slow"), "it took 4"),
    Twin("four-way-close", ending("never"), "was not seen in TIME_WAIT"),
    Twin("half-close", ending("polite"), "+ < P. 1:19(18) ack 8"),
    Twin("linger-zero", ending("polite"), "was told 'EOF', not 'ECONNRESET'"),
    Twin("unanswered", LosesNothing, "was told 'ECONNREFUSED', not 'ETIMEDOUT'"),
    Twin("backlog-full", LongBacklog, "they moved: ListenOverflows 0, ListenDrops 0"),
    Twin("syn-flood", LongBacklog, "they moved: TCPReqQFullDrop 0"),
    Twin("zero-window", Roomy, "window 0 in frames [], probes [], updates []"),
    Twin("delayed-ack", AcknowledgesAtOnce, "an ACK came by itself before the reply"),
    Twin("close-with-unsent-data", Roomy, "s before"),
    Twin("fin-wait-2-timeout", Otherwise, "was still there after 0.5 s", {"tcp_fin_timeout": 60}),
    Twin("fast-retransmit", PassesAll, "they moved: TCPFastRetrans 0"),
    Twin("out-of-order", PassesAll, "they moved: TCPOFOQueue 0"),
    Twin("lost-third-ack", PassesAll, "was told 1, not 0"),
    Twin("simultaneous-close", PassesAll, "not seen in CLOSING"),
    Twin("simultaneous-open", PassesAll, "not seen in SYN_RECEIVED"),
    Twin("nagle", NeverHurries, "the ACK came before it"),
    Twin("half-close-refused", ending("polite"), "not (b'', 'EOF')"),
    Twin("server-closes-first", ending("polite"), "not (18, 'EOF')"),
    Twin("unread-data", ending("polite"), "not 'ECONNRESET'"),
    Twin("handshake-without-accept", ending("polite"), "found: "),
    Twin("http-request", ending("linger-zero"), "not 'EOF'"),
    Twin("lost-segment", PassesAll, "1 data segments, 0 again"),
    Twin("lost-fin", PassesAll, "it sent 1"),
    Twin("lost-last-ack", PassesAll, "not seen in LAST_ACK"),
    Twin("dead-peer", LosesNothing, "not (b'', 'ETIMEDOUT')"),
    Twin("early-reply", Roomy, "were lost"),
    Twin("refused", SomebodyListens, "was told 'connected', not 'ECONNREFUSED'"),
    Twin("connect-abandoned", CarriesAll, "1 x < S. did not come to be held"),
    Twin(
        "listener-closed-with-backlog", calling("close", lambda _: None, ScriptedServer), "no answer in time"
    ),
    Twin("old-duplicate-syn", CarriesAll, "1 x > S did not come to be held"),
    Twin("close-in-syn-received", CarriesAll, "did not come to be held"),
    Twin("mss", OneMtu, "1460"),
    Twin("port-reuse", AnyPort, "its ports were"),
    Twin("http-keep-alive", ending("linger-zero"), "not (b'', 'EOF')"),
    Twin("urgent", calling("send_urgent", _send_as_data), "was told (b'!', 'EOF')"),
    Twin("time-wait", ending("linger-zero"), "was not seen in TIME_WAIT"),
    Twin("shared-descriptor", calling("duplicate", lambda sock: sock), "was not seen in ESTABLISHED"),
    Twin("shutdown-read", calling("shutdown_read", _shut_both), "was not seen in ESTABLISHED"),
    Twin("lost-ack-of-fin", CarriesAll, "1 x < F. did not come to be held"),
    Twin("abort-in-every-state", calling("reset", "close"), "FIN_WAIT_2"),
    Twin("abort-in-syn-received", calling("reset", "close"), "was told (b'', 'EOF')"),
    Twin("write-after-close", calling("close", "half_close"), "was told 'sent', not 'EPIPE'"),
    Twin("reset-before-accept", calling("reset", "close"), "was told (b'', 'EOF')"),
    Twin("process-killed", ending("polite"), "not (b'', 'ECONNRESET')"),
    Twin("missing-fin", ending("polite"), "was not seen in CLOSE_WAIT"),
    Twin("missing-fin-orphan", ending("polite"), "was not seen in FIN_WAIT_2"),
    Twin("close-wait-leak", calling("recv_to_end", _read_and_close), "there is no such socket"),
    Twin("dead-peer-with-data", WireStays, "not (b'', 'ETIMEDOUT')"),
    Twin("half-open-after-crash", calling("vanish", "close"), "was not seen in ESTABLISHED"),
    Twin("idle-middlebox", CarriesAll, "not (b'', 'ETIMEDOUT')"),
    Twin("challenge-ack", CarriesAll, "did not come to be passed"),
    Twin("real-redis", told_instead("CLIENT KILL", "CLIENT LIST"), "telnet did not print ':1'"),
    Twin("real-node-http", told_instead("keep-alive", "close"), "+ < P. 1:71(70) ack 72"),
    Twin("real-telnet-echo", ending("never"), "was not seen in TIME_WAIT"),
    Twin("real-nginx", told_instead("keepalive_timeout 2s", "keepalive_timeout 1s"), "after 1."),
)


def test_every_scenario_has_a_twin() -> None:
    assert sorted(twin.scenario for twin in TWINS) == sorted(catalogue())


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.scenario)
async def test_fails_where_it_is_otherwise(twin: Twin, live: None, network: PrivateNetwork) -> None:
    scenario = find(twin.scenario)
    lab = lab_of(scenario, kind=twin.lab)
    for name, value in {**scenario.sysctls, **(twin.sysctls or {})}.items() if not scenario.hosts else ():
        sysctl.set(name, value)
    broke_off = ""
    try:
        async with lab:
            await scenario.play(lab)
    except (Error, OSError) as error:
        broke_off = str(error)
    checks = judge_experiment(scenario, lab.experiment, lab.checks)
    said = "\n".join([broke_off, *(check.detail for check in checks)])
    print(said)
    assert broke_off or worst(checks) is Verdict.FAIL
    assert twin.told in said
