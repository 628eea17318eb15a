"""Where one check is played: a network, a capture, the kernel's tables, the server, and clients.

    async with Stage(plan, survey) as stage:
        await stage.start()
        peer = await stage.connect()
        ...
        await stage.cut()           # from here on: stage.seen(peer)

The capture that a check is judged by begins when the server has been started and warmed up, and ends with
the cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from types import TracebackType
from typing import Final, Literal, Self

from ..capture import Recording, Tcpdump
from ..errors import ExperimentError, TargetError
from ..kernel import Sampler, SockDiag
from ..kernel.owners import Owner, owners
from ..kernel.sample import SocketSample
from ..render.ladder import Side, StateMark, Step
from ..tcp.connection import Connection
from ..tcp.states import State
from ..tcp.tracker import Tracker
from .dialogue import Dialogue, Request, dialogue_of
from .options import SocketOptions, read_options
from .peer import Asked, Peer
from .plan import Plan
from .seen import Seen
from .survey import ANSWER_SECONDS, Survey
from .target import Target, disposition, find_listener, resolve
from .waiting import until

SAMPLE_EVERY: Final = 0.02
SNAPLEN: Final = 2048
SETTLE: Final = 0.5
"""How long the server may take to let go of the connection it was warmed up with."""
COMING_UP: Final = 0.5
"""Seconds from LISTEN for which a server is left alone: its manager may not have heard of its workers yet,
and what a signal does in that moment is another question than what a deploy does."""


class Stage:
    """See the module.

    survey       None while it is being made
    case         which of a check's it is
    disposition  what the server had arranged for the stop signal when it came (`target.disposition`)
    """

    def __init__(self, plan: Plan, survey: Survey | None = None, case: str = "") -> None:
        self.plan = plan
        self.case = case
        self.survey = survey
        self.address: tuple[str, int] = survey.address if survey else ("127.0.0.1", plan.port)
        self.dialogue: Dialogue = dialogue_of(plan, self.address[0])
        self.targets: list[Target] = []
        self.peers: list[Peer] = []
        self.recording: Recording | None = None
        self.connections: list[Connection] = []
        self.samples: tuple[SocketSample, ...] = ()
        self.signalled = False
        self.disposition: str | None = None
        self._steps: list[Step] = []
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            if self.plan.connect:
                self.address = resolve(self.plan.connect)
                self.dialogue = dialogue_of(self.plan, self.address[0])
            interface, words = self._where()
            self.capture = await stack.enter_async_context(Tcpdump(interface, filter=words, snaplen=SNAPLEN))
            self.kernel = stack.enter_context(SockDiag())
            self.sampler = await stack.enter_async_context(
                Sampler(interval=SAMPLE_EVERY, port=self.address[1], pids=[os.getpid()])
            )
            self._stack = stack.pop_all()
        return self

    def _where(self) -> tuple[str, tuple[str, ...]]:
        """Interface and filter of the capture: all of a private network, or of a shared one what is ours."""
        if not self.plan.attached:
            return "lo", ()
        host, port = self.address
        interface = "lo" if host.startswith("127.") or host == "::1" else "any"
        return interface, ("tcp", "port", str(port), "and", "host", host)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            for peer in self.peers:
                peer.close()
            for target in self.targets:
                target.end()
        finally:
            await self._stack.aclose()

    # ---- the server

    @property
    def target(self) -> Target:
        """The server's present run."""
        if not self.targets:
            raise ExperimentError("the server was not started by this check")
        return self.targets[-1]

    async def start(self, *, warm: bool = False) -> float:
        """Start the server, unless it runs already, and wait until it listens; the seconds that took."""
        began = time.monotonic()
        if not self.plan.attached:
            self.step("the server is started", "server")
            self.targets.append(Target(self.plan, self.kernel))
            await self.target.listening()
            if self.survey is None:
                self.address = self.target.address
                self.dialogue = dialogue_of(self.plan, self.address[0])
        listened = time.monotonic()
        took = listened - began
        if self.survey is not None and self.survey.daemon:
            await until(lambda: self.target.ended is not None, self.plan.start)
        if warm:
            await self._warm_up()
            if not self.plan.attached:
                await asyncio.sleep(max(0.0, listened + COMING_UP - time.monotonic()))
        return took

    async def _warm_up(self) -> None:
        """One exchange on a connection that is closed again: what is loaded on first use is loaded then."""
        peer = await self.connect()
        if self.dialogue.request is not None:
            asked = await self.asked(peer, self.dialogue.request)
            if not await peer.replied(asked, ANSWER_SECONDS):
                raise TargetError(self.told(f"it did not answer its first request ({asked.reply})"))
        else:
            await until(lambda: peer.kernel is not None and bool(peer.kernel.inode), SETTLE)
        peer.close()
        await until(lambda: peer.kernel is None, SETTLE)
        if len(self.targets) <= 1:
            await self.capture.cut()
            self._steps.clear()
        self.peers.remove(peer)

    def pids(self) -> list[int]:
        """Its processes; of one that ran before, those that hold its listener, where they are seen."""
        if self.targets:
            return self.target.pids()
        listeners = find_listener(self.kernel, self.address[1])
        return sorted({owner.pid for row in listeners for owner in owners(row.inode)})

    def descriptors(self) -> dict[int, int]:
        """How many descriptors each of its processes has open, by pid; a zombie has none and is left out."""
        counts = {}
        for pid in self.pids():
            with contextlib.suppress(OSError):
                counts[pid] = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208  a count of names
        return {pid: count for pid, count in counts.items() if count}

    def holder(self, peer: Peer) -> Owner | None:
        """The process that holds the server's end of a connection, and its descriptor."""
        socket = peer.kernel
        return self.holder_of(socket.inode) if socket is not None else None

    def holder_of(self, inode: int) -> Owner | None:
        """The process that holds the socket with this inode."""
        return next(owners(inode, self.pids()), None) if inode else None

    def ended_too(self, holder: Owner | None) -> str:
        """That the process which held a connection has ended with it, in words; "" where it has not.

        No judgement: some have a process for each connection.
        """
        if holder is None or holder.pid in self.pids():
            return ""
        return f"; process {holder.pid} ({holder.command}), which held it, has ended too"

    def stop(self) -> int:
        """Send the stop signal; the time just before, in nanoseconds."""
        self.signalled = True
        self.disposition = disposition(self.target.main, self.plan.stop)
        self.step(f"the server gets {self.plan.stop.name}", "server")
        return self.target.send(self.plan.stop)

    def kill(self, *, all_of_it: bool) -> int:
        """SIGKILL, for the main process alone or for all."""
        self.signalled = True
        who = "every process of the server" if all_of_it else "the server's main process"
        self.step(f"{who} gets SIGKILL", "server")
        if all_of_it:
            return self.target.send_all(signal.SIGKILL)
        return self.target.send(signal.SIGKILL)

    def told(self, what: str) -> str:
        """`what`, with the last words of the server where it has any."""
        return self.target.told(what) if self.targets else what

    # ---- clients

    def peer(self, *, receive_buffer: int | None = None) -> Peer:
        """A client that has not connected."""
        made = Peer(self, len(self.peers) + 1, receive_buffer=receive_buffer)
        self.peers.append(made)
        return made

    async def connect(self, *, receive_buffer: int | None = None, read: bool = True) -> Peer:
        """A client that is connected.  ExperimentError when it could not be."""
        peer = self.peer(receive_buffer=receive_buffer)
        told = await peer.connect(read=read)
        if told != "connected":
            raise ExperimentError(self.told(f"a client could not connect: {told}"))
        return peer

    async def fresh(self) -> Peer:
        """A client that has sent nothing, and that the server has accepted (or will not before a byte)."""
        peer = await self.connect()
        await until(lambda: (row := peer.kernel) is not None and bool(row.inode) and not row.rqueue, SETTLE)
        return peer

    async def held(self) -> Peer:
        """A client whose connection the server's process has: fresh, or served where it is not given that."""
        return await (self.idle() if self.known.deferred and self.known.keeps else self.fresh())

    async def idle(self) -> Peer:
        """A client that was served once and kept its connection.  ExperimentError when it could not be."""
        peer = await self.connect()
        assert self.dialogue.request is not None  # checks that need a request have one
        asked = await self.asked(peer, self.dialogue.request)
        if not await peer.replied(asked, ANSWER_SECONDS):
            raise ExperimentError(self.told(f"an ordinary request drew {asked.reply}"))
        return peer

    async def asked(self, peer: Peer, request: Request) -> Asked:
        """`peer.ask`, with the size that such a reply is known to have."""
        return await peer.ask(request, size=self.size_of(request))

    def size_of(self, request: Request) -> int | None:
        """Of a protocol that does not say where a reply ends: how long the reply to `request` was."""
        if self.survey is None:
            return None
        if self.survey.under_way is not None and request == self.survey.under_way.request:
            return self.survey.under_way.reply.size
        return self.survey.reply.size if self.survey.reply is not None else None

    @property
    def known(self) -> Survey:
        """What is known of the server; while that is being found out there is nothing to ask for."""
        assert self.survey is not None
        return self.survey

    def options(self, peer: Peer) -> SocketOptions | None:
        """The options of the server's end of a connection, where its process may be asked for them."""
        owner = self.holder(peer)
        return None if owner is None else read_options(owner.pid, owner.fd)

    # ---- time

    def step(self, text: str, side: Literal["lab", "server"] = "lab") -> None:
        """Write down what is done, for every ladder."""
        self._steps.append(Step(time.time_ns(), side, text))

    # ---- witnesses

    async def cut(self) -> Recording:
        """End the capture that the check is judged by.  Once in a check."""
        assert self.recording is None  # what came before would be judged by frames of another file
        self.recording = await self.capture.cut()
        self.sampler.sample()
        self.samples = tuple(self.sampler.changes)
        self.connections = Tracker(keep=True).feed_all(self.recording.segments()).connections
        return self.recording

    def seen(self, peer: Peer) -> Seen:
        """What the wire shows of a client's connection."""
        assert self.recording is not None  # cut first
        for connection in reversed(self.connections):
            host, port = connection.addresses[0]
            if (host, int(port)) == peer.local:
                return Seen(connection)
        return Seen(None)

    def steps(self, peer: Peer) -> list[Step]:
        """What was done, seen from one client's connection."""
        return sorted([*self._steps, *peer.steps], key=lambda step: step.time_ns)

    def marks(self, peer: Peer) -> list[StateMark]:
        """The kernel's state changes of both ends of a client's connection."""
        ends: tuple[tuple[Side, tuple[object, object]], ...] = (
            ("client", (peer.local, self.address)),
            ("server", (self.address, peer.local)),
        )
        marks: list[StateMark] = []
        now: dict[Side, str] = {}
        for sample in self.samples:
            state = str(sample.state or State.CLOSED)
            for side, pair in ends:
                if (sample.local, sample.remote) == pair and now.get(side) != state:
                    now[side] = state
                    marks.append(StateMark(sample.time_ns, side, state, sample.witness))
        return marks
