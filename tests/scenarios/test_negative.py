"""Each expectation can fail: where a server or a network behaves otherwise it does, and says how."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from typing import Any, NamedTuple, Self

import pytest

from testbed.errors import ExperimentError
from testbed.lab import Client, ScriptedServer, Verdict
from testbed.lab.judgement import worst
from testbed.net import sysctl
from testbed.net.link import Link
from testbed.net.private import PrivateNetwork
from testbed.scenarios import find
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
        return await super().serve(kind, **{**options, "ending": self.instead, "port": 0})


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
    Twin("fin-wait-2-timeout", Otherwise, "it lasted 0.", {"tcp_fin_timeout": 60}),
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
    Twin("lost-segment", LosesNothing, "1 data segments, 0 again"),
    Twin("lost-fin", LosesNothing, "it sent 1"),
    Twin("lost-last-ack", LosesNothing, "not seen in LAST_ACK"),
    Twin("dead-peer", LosesNothing, "not (b'', 'ETIMEDOUT')"),
    Twin("early-reply", Roomy, "were lost"),
)


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
    except ExperimentError as error:
        broke_off = str(error)
    checks = judge_experiment(scenario, lab.experiment, lab.checks)
    said = "\n".join([broke_off, *(check.detail for check in checks)])
    print(said)
    assert worst(checks) is Verdict.FAIL
    assert twin.told in said
