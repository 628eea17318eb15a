"""A wire on which each segment can be passed, dropped, held, duplicated, reordered or forged.

    with TwoHosts(middle=True) as hosts:
        async with Link(hosts, ["drop > F. #1"]) as link:
            await link.hold("< S.")
            ...
            (held,) = await link.until_held()
            await link.release()

The rules are `wire.rules`; a process of its own applies them (`net.link_process`).  Every call is
answered before it returns: a rule holds for the next segment.  What became of which segment is in
`events`, but for those that simply passed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import select
import socket
import subprocess
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Final, Self

from ..errors import CapabilityError, ExperimentError, UsageError, WitnessTimeout
from ..wire.notation import parse
from ..wire.rules import Pattern, parse_pattern, parse_rule
from .child import how_it_ended, without_fork_warning
from .hosts import ADDRESSES, TwoHosts
from .interpreter import run_module
from .libc import dying_with_parent
from .link_events import Fate, LinkEvent
from .network import Network

START_SECONDS: Final = 20.0
ANSWER_SECONDS: Final = 10.0
_END_SECONDS: Final = 5.0
_ETH_P_ALL: Final = 3
_SOL_PACKET, _PACKET_IGNORE_OUTGOING = 263, 23
_BUFFER: Final = 4 << 20
_WENT_ON: Final = (Fate.PASSED, Fate.RELEASED, Fate.REORDERED, Fate.DUPLICATED)
Stamp = Callable[[str], None]


class Link:
    """The wire between two hosts, in the middle of it; an async context manager.

    hosts    made with ``middle=True``
    rules    applied from the beginning, see `wire.rules`
    frozen   hold every segment from the beginning
    stamp    called with each thing that is asked of it, in words: ``drop > F. #1``
    events   what became of segments, in order
    held     those that are held now, the oldest first

    Error handling: UsageError for a rule that is none; CapabilityError on entering where packet
    sockets are refused; ExperimentError when the link's process has ended.
    """

    def __init__(
        self,
        hosts: TwoHosts,
        rules: Sequence[str] = (),
        *,
        frozen: bool = False,
        stamp: Stamp = lambda _: None,
    ) -> None:
        if isinstance(rules, str):
            raise UsageError("rules are a sequence of lines, such as ['drop > F. #1']")
        for text in rules:
            parse_rule(text)
        self._hosts = hosts
        self._first_rules = tuple(rules)
        self.frozen = frozen
        self.events: list[LinkEvent] = []
        self.held: list[LinkEvent] = []
        self._stamp = stamp
        self._answers: dict[int, asyncio.Future[str]] = {}
        self._number = 0
        self._changed = asyncio.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._ready = False
        self._ended = False
        self._words = ""

    # ------------------------------------------------------------ its life

    async def __aenter__(self) -> Self:
        if self._process is not None:
            raise UsageError("a Link can be entered once; make another one")
        if self._hosts.middle is None:
            raise UsageError("a Link needs TwoHosts(middle=True)")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control = ours
        try:
            ours.setblocking(False)
            with theirs:
                self._process = self._start(self._hosts.middle, theirs)
            asyncio.get_running_loop().add_reader(ours, self._receive)
            await self._until(lambda: self._ready, START_SECONDS, "the link's process did not start")
            if self._first_rules:
                await self._ask("add", rules=self._first_rules)
            if self.frozen:
                await self._ask("freeze", on=True)
        except BaseException:
            self._end()
            raise
        if self._first_rules:
            self._stamp(", ".join(self._first_rules))
        return self

    def _start(self, middle: Network, control: socket.socket) -> subprocess.Popen[bytes]:
        """The process, with a packet socket for either side of `middle`."""
        with contextlib.ExitStack() as stack:
            try:
                with middle.enter():
                    sides = [stack.enter_context(_packet_socket(name)) for name in ADDRESSES]
            except OSError as error:
                raise CapabilityError(
                    f"a packet socket is refused ({error.strerror})",
                    "run as root, or where CAP_NET_RAW is given",
                ) from None
            descriptors = [one.fileno() for one in (*sides, control)]
            with without_fork_warning():
                return subprocess.Popen(
                    run_module("testbed.net.link_process", *map(str, descriptors)),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    pass_fds=descriptors,
                    preexec_fn=dying_with_parent(),
                )

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        """Close the control socket: the process ends by itself; else it is killed."""
        control, self._control = self._control, None
        if control is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed already
                asyncio.get_running_loop().remove_reader(control)
            control.close()
        process = self._process
        if process is not None:
            process.kill()  # it keeps nothing that it would have to put away
            process.wait(_END_SECONDS)
            assert process.stderr is not None
            process.stderr.close()

    @property
    def pid(self) -> int:
        """Its process."""
        if self._process is None:
            raise UsageError("this Link is not entered: use `async with`")
        return self._process.pid

    # ------------------------------------------------------------ what comes from it

    def _receive(self) -> None:
        assert self._control is not None
        while True:
            try:
                message = self._control.recv(1 << 20)
            except BlockingIOError:
                break
            except ConnectionError:
                message = b""
            if not message:
                self._lost()
                break
            self._take(json.loads(message))
        self._changed.set()

    def _lost(self) -> None:
        """The process is gone.  Whoever waits is told."""
        self._ended = True
        assert self._control is not None
        asyncio.get_running_loop().remove_reader(self._control)
        for answer in self._answers.values():
            if not answer.done():
                answer.set_result(self._last_words())

    def _last_words(self) -> str:
        """How the process ended, as it told itself or as the kernel did."""
        if not self._words:
            process = self._process
            assert process is not None and process.stderr is not None
            self._words = "the link's process has ended"
            with contextlib.suppress(subprocess.TimeoutExpired):
                status = process.wait(_END_SECONDS)
                said = process.stderr.read().decode(errors="replace").strip().splitlines()
                self._words += f": {said[-1] if said else how_it_ended(status)}"
        return self._words

    def _take(self, message: dict[str, Any]) -> None:
        if "event" in message:
            event = LinkEvent.from_json(message["event"])
            self.events.append(event)
            if event.fate is Fate.HELD:
                self.held.append(event)
            elif event.id and event.fate is not Fate.AGAIN:
                self.held = [held for held in self.held if held.id != event.id]
        elif "answer" in message:
            answer = self._answers.get(message["answer"])
            if answer is not None and not answer.done():
                answer.set_result(message.get("error", ""))
        else:
            self._ready = True

    async def _ask(self, do: str, **arguments: Any) -> None:
        """Give an order and wait until it is carried out; UsageError when it cannot be."""
        if self._control is None or self._ended:
            raise ExperimentError(self._last_words() if self._ended else "the link is not entered")
        self._number = number = self._number + 1  # several may ask at once
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        try:
            order = json.dumps([number, do, arguments]).encode()
            await asyncio.get_running_loop().sock_sendall(self._control, order)
            wrong = await asyncio.wait_for(answer, ANSWER_SECONDS)
        except TimeoutError:
            raise ExperimentError(f"the link's process did not answer within {ANSWER_SECONDS:g} s") from None
        finally:
            del self._answers[number]
        if self._ended:
            raise ExperimentError(wrong)
        if wrong:
            raise UsageError(wrong)

    def _ask_now(self, do: str, **arguments: Any) -> None:
        """`_ask` without giving the event loop its turn; the process answers within a millisecond."""
        if self._control is None or self._ended:
            raise ExperimentError(self._last_words() if self._ended else "the link is not entered")
        self._number = number = self._number + 1
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        try:
            self._control.send(json.dumps([number, do, arguments]).encode())
            while not answer.done():
                if not select.select([self._control], [], [], ANSWER_SECONDS)[0]:
                    raise ExperimentError(f"the link's process did not answer within {ANSWER_SECONDS:g} s")
                self._receive()
        finally:
            del self._answers[number]
        if self._ended:
            raise ExperimentError(answer.result())
        if answer.result():
            raise UsageError(answer.result())

    async def _until(self, condition: Callable[[], bool], timeout: float, otherwise: str) -> None:
        """Wait for something that a message brings about.  WitnessTimeout when it does not."""
        deadline = asyncio.get_running_loop().time() + timeout
        while not condition():
            if self._ended:
                raise ExperimentError(self._last_words())
            left = max(0.0, deadline - asyncio.get_running_loop().time())
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), None if math.isinf(left) else left)
            except TimeoutError:
                raise WitnessTimeout(f"{otherwise} within {timeout:g} s") from None

    # ------------------------------------------------------------ faults

    async def rule(self, *rules: str) -> None:
        """Add rules after those there are: ``drop > F. #1``.  `inject` without `after` is done at once."""
        for text in rules:
            parse_rule(text)
        self._stamp(", ".join(rules))
        await self._ask("add", rules=rules)

    async def forget(self, *rules: str) -> None:
        """Take out rules, as they were written; none given: all of them.  What is held stays so."""
        self._stamp(f"forgets {', '.join(rules) or 'all rules'}")
        if rules:
            await self._ask("remove", rules=rules)
        else:
            await self._ask("clear")

    async def drop(self, *patterns: str) -> None:
        """Lose what matches: ``drop("> F. #1")``."""
        await self.rule(*(f"drop {pattern}" for pattern in patterns))

    async def hold(self, *patterns: str) -> None:
        """Keep what matches until it is released."""
        await self.rule(*(f"hold {pattern}" for pattern in patterns))

    async def duplicate(self, *patterns: str) -> None:
        """Deliver what matches twice."""
        await self.rule(*(f"duplicate {pattern}" for pattern in patterns))

    async def inject(self, line: str, *, ports: tuple[int, int] | None = None, client: str = "") -> None:
        """Forge a segment, ``> R 1:1(0)``, of the connection seen last.

        ports   the client's and the server's port of another one; of one that was never seen to open
                the numbers count from 0
        client  with `ports`: an address that is not the client's, to be put in its place
        """
        flow = ""
        if ports is not None:
            addresses = client or ADDRESSES["client"], ADDRESSES["server"]
            caller, server = (socket.inet_aton(address) for address in addresses)
            flow = (caller + server + b"".join(p.to_bytes(2, "big") for p in ports)).hex()
        forged = parse(line)
        self._stamp(f"inject {forged}")
        await self._ask("inject", line=str(forged), flow=flow)

    async def release(self, *patterns: str, copies: int = 1) -> list[LinkEvent]:
        """Let what is held and matches one of `patterns` go (none: all of it), the oldest first.

        A rule that held it goes on holding those that come.  Returns what was released.  On a frozen link
        nothing goes but by `deliver`: that is for whoever steps through it.
        """
        found = self._matching(patterns)
        if not self.frozen:
            self._stamp(f"releases {', '.join(patterns) or 'all'}")
            await self.deliver(*(held.id for held in found), copies=copies)
        return found

    async def release_only(self, *held: LinkEvent) -> None:
        """Let these go, in this order, and nothing else."""
        if not self.frozen:
            self._stamp(f"releases {', '.join(one.line for one in held)}")
            await self.deliver(*(one.id for one in held))

    async def until_held(self, *patterns: str, count: int = 1, timeout: float = 10.0) -> list[LinkEvent]:
        """Wait until `count` segments that match one of `patterns` (none: any) have been held since the
        link was made; returns them.  WitnessTimeout when they do not come; on a frozen link that takes as
        long as whoever steps through it."""
        return await self._until_told(patterns, (Fate.HELD,), count, timeout)

    async def until_passed(self, *patterns: str, count: int = 1, timeout: float = 10.0) -> list[LinkEvent]:
        """The same of segments that went on to their receiver.  Those that no rule and nobody's hand has
        touched are told of after `watch` alone."""
        return await self._until_told(patterns, _WENT_ON, count, timeout)

    async def _until_told(
        self, patterns: Sequence[str], fates: Sequence[Fate], count: int, timeout: float
    ) -> list[LinkEvent]:
        wanted = [parse_pattern(text) for text in patterns]

        def found() -> list[LinkEvent]:
            return [e for e in self.events if e.fate in fates and _is_one_of(e, wanted)]

        await self._until(
            lambda: len(found()) >= count,
            math.inf if self.frozen else timeout,
            f"{count} x {' or '.join(patterns) or 'segment'} did not come to be {fates[0]}",
        )
        return found()

    def _matching(self, patterns: Sequence[str]) -> list[LinkEvent]:
        wanted = [parse_pattern(text) for text in patterns]
        return [held for held in self.held if _is_one_of(held, wanted)]

    # ------------------------------------------------------------ by hand

    async def deliver(self, *ids: int, copies: int = 1) -> None:
        """Let held segments go by their ids, in this order; `copies` of each."""
        await self._ask("release", ids=ids, copies=copies)

    def deliver_now(self, *ids: int, copies: int = 1) -> None:
        """The same, and nothing else happens in this event loop meanwhile: the next look at the kernels is
        taken before any program here has reacted."""
        self._ask_now("release", ids=ids, copies=copies)

    async def discard(self, *ids: int) -> None:
        """Lose held segments, by their ids."""
        await self._ask("discard", ids=ids)

    async def freeze(self, on: bool = True) -> None:
        """Hold every segment, whatever the rules say of it; they are obeyed when it is released.

        The kernels' timers go on: copies that they send of a segment that is held, or whose answer is,
        are told of as `sent again` and not queued.  Thawed, the link goes by its rules again, and what is
        held stays so.
        """
        await self._ask("freeze", on=on)
        self.frozen = on

    async def cut(self) -> None:
        """Lose everything, both ways."""
        self._stamp("the wire is cut")
        await self._ask("cut", on=True)

    async def restore(self) -> None:
        """Lose nothing any more."""
        self._stamp("the wire is joined again")
        await self._ask("cut", on=False)

    async def watch(self, on: bool = True) -> None:
        """Tell in `events` of those too that simply pass."""
        await self._ask("watch", on=on)

    async def settled(self) -> None:
        """Return when everything that the link has seen so far is in `events`."""
        await self._ask("release", ids=())


def _is_one_of(event: LinkEvent, wanted: Sequence[Pattern]) -> bool:
    line = parse(event.line)
    return not wanted or any(pattern.matches(line) for pattern in wanted)


def _packet_socket(interface: str) -> socket.socket:
    """All that comes in through `interface`, and the way out of it."""
    # protocol 0: nothing is received before it is bound to one interface
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
    try:
        made.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        with contextlib.suppress(PermissionError):
            made.setsockopt(socket.SOL_SOCKET, 33, _BUFFER)  # SO_RCVBUFFORCE: beyond net.core.rmem_max
        made.bind((interface, _ETH_P_ALL))
    except BaseException:
        made.close()
        raise
    return made
