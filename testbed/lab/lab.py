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
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self

from ..capture import Tcpdump
from ..capture.tcpdump import BUFFER_KIB
from ..errors import CapabilityError, ExperimentError, UsageError
from ..kernel import Sampler
from ..kernel.callers import network
from ..kernel.events import Event
from ..kernel.trace_source import BUFFER_KIB as TRACE_KIB
from ..kernel.tracepoints import Tracepoints
from ..net.firewall import Drop
from ..net.hosts import INTERFACE, Host, TwoHosts
from ..net.link import Link
from ..net.private import PrivateNetwork
from ..render.ladder import Step
from ..servers.echo import EchoServer
from ..servers.http import HttpServer
from ..servers.listener import Server
from ..servers.rpc import RpcServer
from .census import Census
from .crowd import Crowd
from .experiment import Experiment
from .holding import Watch
from .judgement import Check
from .process import ServerProcess
from .programs import Programs
from .scripted import Client, ScriptedServer
from .seeing import Seeing
from .shared import MTU, SNAPLEN, SharedNetwork, shared_network
from .tables import Tables
from .wire import Wire

SERVERS: dict[str, type[Server]] = {"echo": EchoServer, "rpc": RpcServer, "http": HttpServer}
Side = Literal["client", "server"]
Network = Literal["private", "shared", "hosts", "here"]
CaptureAt = Literal["client", "server", "both"]

NO_PORT = 0
"""What the tracepoints listen to until the server has one."""

SAMPLE_EVERY = 0.02
"""Seconds between two looks at the kernel's tables."""


class Lab(Wire, Seeing, Programs):
    """One experiment.

    net        ``private``: a network of its own for as long as the lab lasts (needs CAP_SYS_ADMIN
               over one's user namespace: root, or a process under `testbed exec`); ``shared``: the same,
               kept with its capture for the process's next lab (`lab.shared`): milliseconds, not tens of
               them; ``hosts``: two networks, the client's and the server's, joined by a wire
               (`net.hosts`; needs the same); ``here``: the network this process is in
    link       with ``hosts``: rules for each segment on the wire (`wire.rules`), which then leads through
               `lab.link`, where more can be made; None: a bare veth pair
    frozen     with `link`: every segment is held from the beginning
    interface  where to capture; between two hosts it is the wire
    capture_at with ``hosts``: at which end of the wire to capture.  At ``both`` the client's is the
               recording, and `experiment.far` the server's
    filter     words of a tcpdump filter; with one, completeness cannot be proved
    mtu        of the private network's loopback or of the wire, in bytes
    snaplen    bytes kept of each packet
    buffer_kib room for packets that have not been read yet (`capture.Tcpdump`); the tracepoints get a
               sixteenth of it for each processor
    sample_every  seconds between two looks at the kernel's tables
    sysctls    net.ipv4 settings of the private network or of both hosts, by their last name

    Every `timeout` of its methods is in seconds.

    Error handling: UsageError for arguments that do not fit together; on entering CapabilityError where this
    machine cannot do it.  What is asked for without a server, or too late, is an ExperimentError.
    """

    def __init__(
        self,
        *,
        net: Network = "here",
        link: Sequence[str] | None = None,
        frozen: bool = False,
        interface: str = "lo",
        capture_at: CaptureAt = "client",
        filter: Sequence[str] = (),
        mtu: int = MTU,
        snaplen: int = SNAPLEN,
        buffer_kib: int = BUFFER_KIB,
        sample_every: float = SAMPLE_EVERY,
        sysctls: dict[str, int | str] | None = None,
    ) -> None:
        if link is not None and net != "hosts":
            raise UsageError("a link lies between two hosts: Lab(net='hosts', link=...)")
        if net == "shared" and (sysctls, interface, tuple(filter), mtu, snaplen) != (
            None,
            "lo",
            (),
            MTU,
            SNAPLEN,
        ):
            raise UsageError("a network that labs share has its settings already: Lab(net='private', ...)")
        self.net = net
        self.interface = INTERFACE if net == "hosts" else interface
        self.capture_at = capture_at
        self.hosts: TwoHosts | None = None
        self.far_capture: Tcpdump | None = None
        self._rules = link
        self._frozen = frozen
        self._link: Link | None = None
        self.filter = tuple(filter)
        self.mtu = mtu
        self.snaplen = snaplen
        self.buffer_kib = buffer_kib
        self.sample_every = sample_every
        self.sysctls = sysctls or {}
        self._steps: list[tuple[Step, Client | None]] = []
        self.checks: list[Check] = []
        self.census: list[Census] = []
        self.clients: list[Client] = []
        self.tracepoints: Tracepoints | None = None
        self.untold = self.untold_remedy = ""
        self._address: tuple[str, int] | None = None
        self.server: Server | ServerProcess | None = None
        self._shared: SharedNetwork | None = None
        self._experiment: Experiment | None = None
        self._stack = contextlib.AsyncExitStack()

    # ------------------------------------------------------------ entering, leaving

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            made: PrivateNetwork | TwoHosts | None = None
            listening = asyncio.create_task(self._listen_to_kernel())
            stack.push_async_callback(self._stop_listening, listening)
            await asyncio.sleep(0)  # the thread that it may start stays outside of the network
            if self.net == "private":
                made = stack.enter_context(PrivateNetwork(mtu=self.mtu))
            elif self.net == "shared":
                self._shared = await stack.enter_async_context(shared_network())
            elif self.net == "hosts":
                made = self.hosts = stack.enter_context(
                    TwoHosts(mtu=self.mtu, middle=self._rules is not None)
                )
            elif self.sysctls:
                raise UsageError("sysctls are set in a private network only: Lab(net='private', sysctls=...)")
            for name, value in self.sysctls.items():
                assert made is not None
                made.sysctl(name, value)
            near: Side = "server" if self.capture_at == "server" else "client"
            if self._shared is not None:
                self.capture = self._shared.capture
            else:
                self.capture = await stack.enter_async_context(
                    self._tcpdump(self.hosts.host(near) if self.hosts is not None else None)
                )
            if self.hosts is not None and self.capture_at == "both":
                self.far_capture = await stack.enter_async_context(self._tcpdump(self.hosts.server))
            await listening
            networks = [self.hosts.client.enter, self.hosts.server.enter] if self.hosts else []
            self.sampler = await stack.enter_async_context(
                Sampler(interval=self.sample_every, pids=[os.getpid()], networks=networks)
            )
            self._watch = stack.enter_context(Watch())
            if self.hosts is not None and self._rules is not None:
                self._link = await stack.enter_async_context(
                    Link(self.hosts, self._rules, frozen=self._frozen, stamp=self._stamp_link)
                )
            if self.hosts is not None:
                # From here on this thread is on the server's host, and so are the servers that it starts.
                # What belongs to the client goes over for as long as it takes to make a socket.
                stack.enter_context(self.hosts.server.enter())
            self._stack = stack.pop_all()
        return self

    def _tcpdump(self, host: Host | None) -> Tcpdump:
        """A capture here, or on one of the hosts."""
        inside = contextlib.nullcontext if host is None else host.enter
        return Tcpdump(
            self.interface,
            filter=self.filter,
            snaplen=self.snaplen,
            buffer_kib=self.buffer_kib,
            inside=inside,
        )

    async def _listen_to_kernel(self) -> None:
        """Have the kernel tell every change of state, where it may; else say why not."""
        tracepoints = Tracepoints(ports=[NO_PORT], buffer_kib=max(TRACE_KIB, self.buffer_kib // 16))
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
        before = self.sampler.sample()
        connected = self.clients and self.clients[0].local[1]
        ends = [*self._ends("client"), *self._ends("server")] if connected else []
        holders = self._holders(ends, before)
        recording = await self.capture.cut()
        far = await self.far_capture.cut() if self.far_capture is not None else None
        if self._link is not None:
            await self._link.settled()
        events: list[Event] = []
        if self.tracepoints is not None:
            await self.tracepoints.drain()
            events, self.untold = self.tracepoints.events, self.tracepoints.problem
        seen = tuple(self.sampler.changes)
        after = self.sampler.sample()
        held = self._held_open(after)  # not before: by now each task has come to the line where it waits
        if not self.clients:  # the capture will tell which connection was the first
            ends = [end.pair for one in held for end in one.ends]
            holders = self._holders(ends, after)
        self._experiment = Experiment(
            recording,
            tuple(self.steps),
            seen,
            server=self.address,
            holders=holders,
            tables=Tables(before, after, seen),
            held=held,
            events=events,
            untold=self.untold,
            networks=self._networks(),
            far=far,
            link=self._link.events if self._link is not None else (),
            captured_at="server" if self.capture_at == "server" else "client",
        )

    def _networks(self) -> set[int]:
        """Where the sockets under study are."""
        if self.hosts is None:
            return {network()}
        return {os.fstat(host.descriptor).st_ino for host in (self.hosts.client, self.hosts.server)}

    @property
    def experiment(self) -> Experiment:
        """What was seen.  ExperimentError until the lab was left (or `cut`)."""
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
    def address(self, address: tuple[str, int] | None) -> None:
        self._address = address
        if self.tracepoints is not None and address is not None:
            self.tracepoints.only(address[1])

    async def serve(
        self, kind: str = "echo", *, ending: str = "polite", process: bool = False, **options: Any
    ) -> tuple[str, int]:
        """Start one of the project's servers; returns its address.

        process   in a process of its own, with `options` as its command-line options
                  (``keepalive_idle=15`` is ``--keepalive-idle 15``); else in this event loop,
                  with `options` as the constructor's arguments

        Error handling: UsageError for a server, an ending or an option that there is not, ExperimentError
        where it cannot listen.
        """
        if kind not in SERVERS:
            raise UsageError(f"there is no server called {kind!r}; there are: {', '.join(SERVERS)}")
        if process:
            arguments = ["--ending", ending]
            options.setdefault("host", self.host)
            for name, value in options.items():
                arguments += [f"--{name.replace('_', '-')}", str(value)]
            started = await ServerProcess.start(kind, arguments)
            self._stack.push_async_callback(started.end)
            self.sampler.pids = [*self.sampler.pids, started.pid]
            self.server, address = started, started.address
        else:
            try:
                server = SERVERS[kind](ending=ending, **{"host": self.host, **options})
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

    def listen(self, port: int = 0, *, host: str = "", backlog: int = 128) -> ScriptedServer:
        """A server that does nothing but what the script says.  ExperimentError where it cannot listen.

        port, host  0 and "": any port, of the address that the lab's servers have
        backlog     as of listen(2): the kernel queues one connection more
        """
        if port:
            self.address = host or self.host, port  # the kernel is listened to before it listens
        stamp = partial(self.step, side="server")
        server = ScriptedServer((host or self.host, port), stamp, backlog=backlog)
        self._stack.callback(server.end)
        self.address = server.address
        return server

    def drop(self, *match: str, once: bool = False, tell: str = "") -> Drop:
        """A context in which the network loses the packets that match; `once`: only the first.

        match  words of nft(8): ``"tcp", "dport", "80"``
        tell   tell the sender by ICMP, see `net.firewall.Drop`

        Error handling: on entering, as `net.firewall.Drop`.
        """
        self._change_settings()
        does = f"answers with {tell} to" if tell else "loses"
        self.step(f"the network {does} {'the next ' if once else ''}{' '.join(match)}")
        return Drop(match, once=once, tell=tell)

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

    def client(self, *, timeout: float = 20.0, port: int = 0) -> Client:
        """A client that has not connected yet; `port` is its own, 0: any.  Each of its steps may take
        `timeout`.  ExperimentError while there is no server."""
        if self.address is None:
            raise ExperimentError("there is no server yet: call lab.serve(...) or lab.at(host, port) first")
        with self.hosts.client.enter() if self.hosts is not None else contextlib.nullcontext():
            made = Client(
                self.address, lambda text: self.step(text, "client", of=made), timeout=timeout, port=port
            )
        self.clients.append(made)
        return made

    def crowd(self, *, timeout: float = 60.0) -> Crowd:
        """Many clients at once, driven by this event loop; closed with the lab."""
        if self.address is None:
            raise ExperimentError("there is no server yet: call lab.serve(...) or lab.at(host, port) first")
        made = Crowd(self.address, self.tell, timeout=timeout)
        self._stack.callback(made.close)
        return made

    def counterpart(self, port: int, *, timeout: float = 20.0) -> Client:
        """On the server's host, a socket that does not listen: it connects to the client's `port`, from the
        port at which the server would be."""
        if self.address is None:
            raise ExperimentError("say where the server would be first: lab.at(lab.host, port)")
        client = self._two_hosts().client.address
        made = Client(
            (client, port),
            lambda text: self.step(text, "server", port=port),
            timeout=timeout,
            port=self.address[1],
        )
        self._stack.callback(made.socket.close)
        return made

    async def connect(self, *, timeout: float = 20.0, port: int = 0) -> Client:
        """A client that is connected, as of `client`.  ExperimentError when it could not be."""
        client = self.client(timeout=timeout, port=port)
        told = await client.connect()
        if told != "connected":
            raise ExperimentError(f"connect() to {self.address}: {told}")
        return client

    def step(
        self,
        text: str,
        side: Literal["client", "server", "lab"] = "lab",
        *,
        of: Client | None = None,
        port: int = 0,
    ) -> None:
        """Write a step of the program down, with the time.

        of, port  whose connection it is about: the client, or the client's port; none: nobody's in particular
        """
        told = Step(time.time_ns(), side, f"{side}.{text}" if side != "lab" else text, port)
        self._steps.append((told, of))
        self.tell(told.text)

    @property
    def steps(self) -> list[Step]:
        """What the programs have done so far, when."""
        return [step if of is None else step._replace(port=of.local[1]) for step, of in self._steps]

    def tell(self, text: str) -> None:
        """Say how far it is, to whoever watches; no step of the experiment."""

    async def pause(self, seconds: float, why: str) -> None:
        """Let a timer of the kernel run; the only wait in the lab that is not for a witness."""
        self.step(f"waits {seconds:g} s: {why}")
        await asyncio.sleep(seconds)
