"""A lab: servers, scripted clients and witnesses on one clock, for one experiment.

    async with Lab() as lab:
        server = await lab.serve("rpc", ending="never")
        client = await lab.connect()
        await client.send(b"...")
        client.half_close()
        await lab.see("server", State.CLOSE_WAIT)
    experiment = lab.experiment

Entering it starts the capture and the sampling of the kernel's tables; leaving it cuts the
capture and ends everything it started, whatever happened inside.  `lab.experiment` then holds
what the witnesses saw.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Literal, Self

from ..capture import Tcpdump
from ..errors import CapabilityError, ExperimentError, UsageError, WitnessTimeout
from ..kernel import Sampler, SocketSample
from ..kernel.callers import network
from ..kernel.events import Event
from ..kernel.tracepoints import Tracepoints
from ..net.firewall import Drop
from ..net.private import PrivateNetwork
from ..render.ladder import Step
from ..servers.echo import EchoServer
from ..servers.http import HttpServer
from ..servers.listener import Server
from ..servers.rpc import RpcServer
from ..tcp.states import State
from .experiment import Experiment
from .judgement import Check, Verdict, check
from .process import ServerProcess
from .scripted import Client, ScriptedServer

SERVERS: dict[str, type[Server]] = {"echo": EchoServer, "rpc": RpcServer, "http": HttpServer}
Side = Literal["client", "server"]
Network = Literal["private", "here"]

NO_PORT = 0
"""What the tracepoints listen to until the server has one."""

SAMPLE_EVERY = 0.02
"""Seconds between two looks at the kernel's tables."""


class Lab:
    """One experiment.

    net        ``private``: a network of its own for as long as the lab lasts (needs CAP_SYS_ADMIN
               over one's user namespace: root, or a process under `testbed exec`); ``here``: the
               network this process is in
    interface  where to capture
    filter     words of a tcpdump filter; with one, completeness cannot be proved
    mtu        of the private network's loopback, in bytes
    snaplen    bytes kept of each packet
    sysctls    net.ipv4 settings of the private network, by their last name

    Raises `CapabilityError` on entering where this machine cannot do it.
    """

    def __init__(
        self,
        *,
        net: Network = "here",
        interface: str = "lo",
        filter: Sequence[str] = (),
        mtu: int = 1500,
        snaplen: int = 2048,
        sysctls: dict[str, int | str] | None = None,
    ) -> None:
        self.net = net
        self.interface = interface
        self.filter = tuple(filter)
        self.mtu = mtu
        self.snaplen = snaplen
        self.sysctls = sysctls or {}
        self.steps: list[Step] = []
        self.checks: list[Check] = []
        self.clients: list[Client] = []
        self.tracepoints: Tracepoints | None = None
        self.untold = self.untold_remedy = ""
        self._address: tuple[str, int] | None = None
        self.server: Server | ServerProcess | None = None
        self._experiment: Experiment | None = None
        self._stack = contextlib.AsyncExitStack()

    # ------------------------------------------------------------ entering, leaving

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            if self.net == "private":
                network = stack.enter_context(PrivateNetwork(mtu=self.mtu))
                for name, value in self.sysctls.items():
                    network.sysctl(name, value)
            elif self.sysctls:
                raise UsageError("sysctls are set in a private network only: Lab(net='private', sysctls=...)")
            listening = asyncio.create_task(self._listen_to_kernel())
            stack.push_async_callback(self._stop_listening, listening)
            self.capture = await stack.enter_async_context(
                Tcpdump(interface=self.interface, filter=self.filter, snaplen=self.snaplen)
            )
            await listening
            self.sampler = await stack.enter_async_context(Sampler(interval=SAMPLE_EVERY, pids=[os.getpid()]))
            self._stack = stack.pop_all()
        return self

    async def _listen_to_kernel(self) -> None:
        """Have the kernel tell every change of state, where it may; else say why not."""
        tracepoints = Tracepoints(ports=[NO_PORT])
        try:
            self.tracepoints = await tracepoints.__aenter__()
        except CapabilityError as error:
            self.untold, self.untold_remedy = error.what, error.remedy

    async def _stop_listening(self, listening: asyncio.Task[None]) -> None:
        await asyncio.wait([listening])
        if self.tracepoints is not None:
            await self.tracepoints.__aexit__(None, None, None)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await asyncio.shield(self._conclude())
        finally:
            for client in self.clients:
                client.socket.close()
            await self._stack.aclose()

    async def _conclude(self) -> None:
        if self._experiment is not None:
            return
        holders = self._holders()
        recording = await self.capture.cut()
        events: list[Event] = []
        if self.tracepoints is not None:
            await self.tracepoints.drain()
            events, self.untold = self.tracepoints.events, self.tracepoints.problem
        self._experiment = Experiment(
            recording,
            tuple(self.steps),
            tuple(self.sampler.changes),
            server=self.address,
            holders=holders,
            events=events,
            untold=self.untold,
            networks={network()},
        )

    @property
    def experiment(self) -> Experiment:
        """What was seen.  Only after the lab was left (or `cut`)."""
        if self._experiment is None:
            raise ExperimentError("the experiment is still running: leave the `async with` block first")
        return self._experiment

    async def cut(self) -> Experiment:
        """Conclude the experiment now: cut the capture, while servers and clients still stand."""
        await self._conclude()
        return self.experiment

    # ------------------------------------------------------------ servers and clients

    @property
    def address(self) -> tuple[str, int] | None:
        """Where the server under study listens."""
        return self._address

    @address.setter
    def address(self, address: tuple[str, int]) -> None:
        self._address = address
        if self.tracepoints is not None:
            self.tracepoints.only(address[1])

    async def serve(
        self, kind: str = "echo", *, ending: str = "polite", process: bool = False, **options: Any
    ) -> tuple[str, int]:
        """Start one of the project's servers; returns its address.

        process   in a process of its own, with `options` as its command-line options
                  (``keepalive_idle=15`` is ``--keepalive-idle 15``); else in this event loop,
                  with `options` as the constructor's arguments
        """
        if kind not in SERVERS:
            raise UsageError(f"there is no server called {kind!r}; there are: {', '.join(SERVERS)}")
        if process:
            arguments = ["--ending", ending]
            for name, value in options.items():
                arguments += [f"--{name.replace('_', '-')}", str(value)]
            started = await ServerProcess.start(kind, arguments)
            self._stack.push_async_callback(started.end)
            self.sampler.pids = [*self.sampler.pids, started.pid]
            self.server, address = started, started.address
        else:
            try:
                server = SERVERS[kind](ending=ending, **options)
                await self._stack.enter_async_context(server)
            except ValueError as error:
                raise UsageError(str(error)) from error
            except OSError as error:
                raise ExperimentError(
                    f"the {kind} server cannot listen: {error.strerror or error}"
                ) from error
            self.server, address = server, server.address
        self.address = address
        return address

    def listen(self, port: int = 0, *, host: str = "127.0.0.1", backlog: int = 128) -> ScriptedServer:
        """A server that does nothing but what the script says."""
        server = ScriptedServer((host, port), lambda text: self.step(text, "server"), backlog=backlog)
        self._stack.callback(server.end)
        self.address = server.address
        return server

    def drop(self, *match: str, once: bool = False) -> Drop:
        """A context in which the network loses the packets that match; `once`: only the first."""
        self.step(f"the network loses {'the next ' if once else ''}{' '.join(match)}")
        return Drop(match, once=once)

    async def stop_listening(self) -> None:
        """Close the server's listener and what else it has open; connections end as kernels end them."""
        if isinstance(self.server, ServerProcess):
            await self.server.end()
        elif self.server is not None:
            await self.server.close()
        self.step("server has stopped listening")

    async def until_server(self, condition: Callable[[Server], bool], *, timeout: float = 10.0) -> None:
        """Wait until the server in this event loop says so.  ExperimentError if not in time."""
        if not isinstance(self.server, Server):
            raise ExperimentError("only a server in this event loop can be asked: serve(..., process=False)")
        try:
            await asyncio.wait_for(self.server.until(condition), timeout)
        except TimeoutError:
            raise ExperimentError(f"the server did not come to it within {timeout:g} s") from None

    @property
    def server_process(self) -> ServerProcess:
        """The server, when it runs in a process of its own."""
        if not isinstance(self.server, ServerProcess):
            raise ExperimentError("the server is not in a process of its own: serve(..., process=True)")
        return self.server

    def at(self, host: str, port: int) -> None:
        """Say where the server under study listens, when it is yours and not the lab's.

        Its sockets' holders are then looked for in all processes, which takes a few ms a sample.
        """
        self.address = (host, port)
        self.sampler.pids = ()

    def client(self, *, timeout: float = 20.0) -> Client:
        """A client that has not connected yet."""
        if self.address is None:
            raise ExperimentError("there is no server yet: call lab.serve(...) or lab.at(host, port) first")
        number = len(self.clients) + 1
        made = Client(self.address, lambda text: self.step(text, "client", number), timeout=timeout)
        self.clients.append(made)
        return made

    async def connect(self, *, timeout: float = 20.0) -> Client:
        """A client that is connected.  ExperimentError when it could not be."""
        client = self.client(timeout=timeout)
        told = await client.connect()
        if told != "connected":
            raise ExperimentError(f"connect() to {self.address}: {told}")
        return client

    def step(self, text: str, side: Literal["client", "server", "lab"] = "lab", number: int = 1) -> None:
        """Write a step of the program down, with the time."""
        if number == 1:
            self.steps.append(Step(time.time_ns(), side, f"{side}.{text}" if side != "lab" else text))

    # ------------------------------------------------------------ witnesses

    def hold(self, held: Check) -> None:
        """Take a check down.  One that fails is an AssertionError, as in any test."""
        __tracebackhide__ = True
        self.checks.append(held)
        if held.verdict is Verdict.FAIL:
            raise AssertionError(f"not so that {held.statement}: {held.detail}")

    def told(self, statement: str, got: object, expected: object) -> None:
        """Hold what a program was told against what it should be.  AssertionError when it differs."""
        __tracebackhide__ = True
        self.hold(check("program", statement, got == expected, f"was told {got!r}, not {expected!r}"))

    async def see(
        self, side: Side, state: State, *, timeout: float = 10.0, client: Client | None = None
    ) -> SocketSample | None:
        """Wait until the kernel shows one end in `state`.  AssertionError, with what it showed."""
        __tracebackhide__ = True
        local, remote = self._ends(side, client)
        statement = f"the kernel shows the {side} in {state}"
        try:
            sample = await self.sampler.wait_for(local=local, remote=remote, state=state, timeout=timeout)
        except WitnessTimeout as error:
            self.hold(check("kernel", statement, False, str(error)))
            return None
        self.hold(check("kernel", statement, True))
        return sample

    async def see_gone(self, side: Side, *, timeout: float = 10.0, client: Client | None = None) -> None:
        """Wait until the kernel has no socket of one end any more.  AssertionError when it still has."""
        __tracebackhide__ = True
        local, remote = self._ends(side, client)
        statement = f"the kernel has no socket of the {side} any more"
        try:
            await self.sampler.wait_gone(local=local, remote=remote, timeout=timeout)
        except WitnessTimeout as error:
            self.hold(check("kernel", statement, False, str(error)))
            return
        self.hold(check("kernel", statement, True))

    async def pause(self, seconds: float, why: str) -> None:
        """Let a timer of the kernel run; the only wait in the lab that is not for a witness."""
        self.step(f"waits {seconds:g} s: {why}")
        await asyncio.sleep(seconds)

    def _ends(self, side: Side, client: Client | None) -> tuple[tuple[str, int], tuple[str, int]]:
        client = client or (self.clients[0] if self.clients else None)
        if client is None or self.address is None:
            raise ExperimentError("no client has connected yet")
        return (client.local, client.server) if side == "client" else (client.server, client.local)

    def _holders(self) -> dict[Side, SocketSample]:
        """Who holds each end of the first connection at this moment, as the kernel shows it."""
        if self.address is None or not self.clients or not self.clients[0].local[1]:
            return {}
        now = self.sampler.sample()
        sides: tuple[Side, ...] = ("client", "server")
        return {
            side: owned
            for side in sides
            for sample in now
            if (sample.local, sample.remote) == self._ends(side, None)
            and (owned := self.sampler.owner(sample)).pid is not None
        }
