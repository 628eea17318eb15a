"""The process between the two hosts: each frame comes in on one side, is judged, and goes out on the other.

    python -m testbed.net.link_process CLIENT SERVER CONTROL      descriptors; started by `net.link`

It is a process of its own because a busy thread beside it would cost milliseconds a frame.  It works
in one go: a frame that passes is sent within the call that received it, and a veth hands it to the
other kernel's TCP at once, so when an event says `released`, that kernel has already answered.

It ends when the other end of CONTROL is closed, however that comes about.
"""

from __future__ import annotations

import contextlib
import errno
import json
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from ..errors import Error, UsageError
from ..wire import forge, notation
from ..wire.decode import decode
from ..wire.rules import Action, Decision, Numbers, Rulebook, parse_rule
from ..wire.segment import ACK, FIN, PSH, SYN, Packet, Segment, reverse
from ..wire.seq import add, before
from .hosts import HARDWARE
from .libc import die_with_parent
from .link_events import Fate, LinkEvent

ETHERNET: Final = 1
FRAMES_A_TURN: Final = 64
"""Frames taken from one side before the other has its turn."""
LARGEST: Final = 65536
_TRIES: Final = 200
CUT: Final = "the wire is cut"
BY_HAND: Final = "by hand"


class _Held(NamedTuple):
    """A frame that waits.  `decision` is what the rules said of it, for a frozen link to do later."""

    id: int
    key: tuple[object, ...]
    data: bytes
    event: LinkEvent
    decision: Decision


class Link:
    """Both sides, the rules, and what is held.  `tell` is called with each event worth telling."""

    def __init__(
        self, client: socket.socket, server: socket.socket, tell: Callable[[LinkEvent], None]
    ) -> None:
        self._sides = {True: client, False: server}
        self._tell = tell
        self._numbers = Numbers()
        self._rules = Rulebook()
        self._seen = {True: 0, False: 0}
        self._sent = {True: 0, False: 0}
        self._held: dict[int, _Held] = {}
        self._overtaken: dict[bool, list[int]] = {True: [], False: []}
        self._flow = b""
        self._ids = 0
        self._frozen = False
        self._cut = False
        self._watched = False

    # ------------------------------------------------------------ frames

    def receive(self, from_client: bool) -> None:
        """Take what has come in on one side."""
        side = self._sides[from_client]
        for _ in range(FRAMES_A_TURN):
            try:
                data = side.recv(LARGEST, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno == errno.ENETDOWN:  # told once, when the interface goes down
                    return
                raise
            self._frame(data, from_client)

    def _frame(self, data: bytes, from_client: bool) -> None:
        segment = decode(Packet(0, 0, ETHERNET, data, len(data)))
        if not isinstance(segment, Segment):
            if not self._cut:
                self._put(data, from_client)
            return
        self._seen[from_client] += 1
        if not (segment.flags & SYN or self._rules.rules or self._frozen or self._cut or self._watched):
            why = self._put(data, from_client)  # nobody asks about it, and most segments are of this kind
            if not why:
                self._sent[from_client] += 1
                self._overtake(from_client)
            else:
                event = self._event(segment, self._numbers.line(segment, from_client), from_client)
                self._tell(event._replace(fate=Fate.DROPPED, rule=why))
            return
        line = self._numbers.line(segment, from_client)
        event = self._event(segment, line, from_client)
        self._flow = event.flow
        if self._cut:
            self._tell(event._replace(fate=Fate.DROPPED, rule=CUT))
            return
        decision = self._rules.decide(line)
        if self._frozen or decision.action is Action.HOLD:
            self._hold(data, event, decision)
        else:
            self._act(data, event, decision)
        if not self._frozen:
            self._forge_all(decision, event.flow)

    def _event(self, segment: Segment, line: notation.Line, from_client: bool) -> LinkEvent:
        return LinkEvent(
            time.time_ns(),
            Fate.PASSED,
            from_client,
            str(line),
            segment.flow if from_client else reverse(segment.flow),
            segment.flags,
            segment.seq or 0,
            segment.ack,
            segment.length,
            self._seen[from_client],
        )

    def _act(self, data: bytes, event: LinkEvent, decision: Decision) -> None:
        """Do with a segment what the rules say, `hold` apart."""
        rule = str(decision.rule or "")
        event = event._replace(rule=rule)
        if decision.action is Action.DROP:
            self._tell(event._replace(fate=Fate.DROPPED))
        elif decision.action is Action.REORDER:
            self._overtaken[event.from_client].append(self._hold(data, event, decision))
        else:
            copies = 2 if decision.action is Action.DUPLICATE else 1
            self._send(data, event, Fate.DUPLICATED if copies == 2 else event.fate, copies)

    def _send(self, data: bytes, event: LinkEvent, fate: Fate, copies: int = 1) -> None:
        """Send a segment on, tell of it unless it simply passed, and let go what it overtook."""
        from_client = event.from_client
        sent = []
        why = ""
        for _ in range(copies):
            why = self._put(data, from_client)
            if why:
                break
            self._sent[from_client] += 1
            sent.append(self._sent[from_client])
        if why:
            fate = Fate.DROPPED
        if fate is not Fate.PASSED or self._watched:
            now = time.time_ns()
            self._tell(event._replace(time_ns=now, fate=fate, sent=tuple(sent), rule=why or event.rule))
        self._overtake(from_client)

    def _overtake(self, from_client: bool) -> None:
        """A segment went that way: those that were to be overtaken follow."""
        overtaken, self._overtaken[from_client] = self._overtaken[from_client], []
        for number in overtaken:
            if number in self._held:
                held = self._held.pop(number)
                self._send(held.data, held.event, Fate.REORDERED)

    def _put(self, data: bytes, from_client: bool) -> str:
        """Send a frame out on the other side; why that could not be, "" when it could."""
        for _ in range(_TRIES):
            try:
                self._sides[not from_client].send(data)
            except OSError as error:
                if error.errno == errno.ENOBUFS:  # the receiver's queue is full: it will not be for long
                    time.sleep(0.0005)
                    continue
                if error.errno == errno.EMSGSIZE:
                    return f"{len(data) - 14} bytes are more than the MTU"
                if error.errno in (errno.ENETDOWN, errno.ENXIO):
                    return "the interface is down"
                raise
            return ""
        return "the receiver's queue stays full"

    # ------------------------------------------------------------ what is held

    def _hold(self, data: bytes, event: LinkEvent, decision: Decision) -> int:
        """Keep a segment, once: a copy of one that is here already is told of and forgotten."""
        key = _key(event)
        copy = next((held.id for held in self._held.values() if held.key == key), 0)
        if not copy and self._frozen:
            copy = self._answered(event)
        if copy:
            self._tell(event._replace(fate=Fate.AGAIN, id=copy))
            return copy
        self._ids += 1
        event = event._replace(fate=Fate.HELD, id=self._ids, rule=str(decision.rule or event.rule))
        self._held[self._ids] = _Held(self._ids, key, data, event, decision)
        self._tell(event)
        return self._ids

    def _answered(self, event: LinkEvent) -> int:
        """The held segment that acknowledges this one: its receiver has it, so it says nothing new."""
        taken = event.length + bool(event.flags & SYN) + bool(event.flags & FIN)
        if not taken:
            return 0
        end = add(event.seq, taken)
        for held in self._held.values():
            answer = held.event
            theirs = answer.from_client != event.from_client and answer.flow == event.flow
            if theirs and answer.flags & ACK and not before(answer.ack, end):
                return held.id
        return 0

    def release(self, ids: Iterable[int] | None, copies: int = 1) -> None:
        """Send on what is held, in this order; None: all of it, the oldest first."""
        for held in self._taken(ids):
            if self._frozen and held.decision.action in (Action.DROP, Action.DUPLICATE):
                self._act(held.data, held.event, held.decision)
            else:
                self._send(held.data, held.event, Fate.RELEASED, copies)
            if self._frozen:
                self._forge_all(held.decision, held.event.flow)

    def discard(self, ids: Iterable[int] | None) -> None:
        """Drop what is held."""
        for held in self._taken(ids):
            now = time.time_ns()
            self._tell(held.event._replace(time_ns=now, fate=Fate.DROPPED, rule=BY_HAND))

    def _taken(self, ids: Iterable[int] | None) -> list[_Held]:
        wanted = list(self._held) if ids is None else list(ids)
        missing = [number for number in wanted if number not in self._held]
        if missing:
            there = ", ".join(map(str, self._held)) or "none"
            raise UsageError(f"no segment {missing[0]} is held; there are: {there}")
        return [self._held.pop(number) for number in wanted]

    # ------------------------------------------------------------ forging

    def _forge_all(self, decision: Decision, flow: bytes) -> None:
        for line in decision.forged:
            self.inject(line, flow)

    def inject(self, line: notation.Line, flow: bytes = b"") -> None:
        """Send a segment that nobody sent; `flow`: the client's direction, else the last one seen."""
        flow = flow or self._flow
        if not flow:
            raise UsageError(
                f"'{line}' cannot be forged: no connection was seen yet whose ports it could have"
            )
        if line.options:
            raise UsageError(f"'{line}' cannot be forged: TCP options are not")
        from_client = line.direction == ">"
        seq, ack = self._numbers.absolute(line, flow)
        data = forge.frame(
            flow if from_client else reverse(flow),
            source=HARDWARE["client" if from_client else "server"],
            destination=HARDWARE["server" if from_client else "client"],
            flags=line.flags,
            seq=seq,
            ack=ack,
            window=65535 if line.win is None else line.win,
            payload=b"x" * line.length,
        )
        event = LinkEvent(
            time.time_ns(), Fate.FORGED, from_client, str(line), flow, line.flags, seq, ack, line.length, 0
        )
        self._send(data, event, Fate.FORGED)

    # ------------------------------------------------------------ commands

    def command(self, do: str, arguments: dict[str, Any]) -> None:
        """Obey.  UsageError for what cannot be done."""
        if do == "add":
            for rule in [parse_rule(text) for text in arguments["rules"]]:
                if rule.action is Action.INJECT and rule.pattern is None and rule.forged is not None:
                    self.inject(rule.forged)
                else:
                    self._rules.add(rule)
        elif do == "remove":
            for text in arguments["rules"]:
                if not self._rules.remove(text.strip()):
                    raise UsageError(f"there is no rule {text.strip()!r}")
        elif do == "clear":
            self._rules = Rulebook()
        elif do == "release":
            self.release(arguments["ids"], arguments.get("copies", 1))
        elif do == "discard":
            self.discard(arguments["ids"])
        elif do == "inject":
            self.inject(notation.parse(arguments["line"]), bytes.fromhex(arguments["flow"]))
        elif do == "freeze":
            self._frozen = arguments["on"]
        elif do == "cut":
            self._cut = arguments["on"]
        elif do == "watch":
            self._watched = arguments["on"]
        else:
            raise UsageError(f"a link cannot {do!r}")


def _key(event: LinkEvent) -> tuple[object, ...]:
    """What a segment and its retransmission have in common; of a bare ACK its acknowledgment too."""
    bare = not event.length and not event.flags & (SYN | FIN)
    return (
        event.from_client,
        event.flow,
        event.flags & ~PSH,
        event.seq,
        event.length,
        event.ack if bare else None,
    )


def serve(client: socket.socket, server: socket.socket, control: socket.socket) -> None:
    """Be the link until the other end of `control` is closed."""

    def say(**message: Any) -> None:
        control.send(json.dumps(message).encode())

    link = Link(client, server, lambda event: say(event=event.to_json()))
    with selectors.DefaultSelector() as ready:
        ready.register(client, selectors.EVENT_READ, True)
        ready.register(server, selectors.EVENT_READ, False)
        ready.register(control, selectors.EVENT_READ, None)
        say(ready=True)
        while True:
            for key, _ in ready.select():
                if key.data is not None:
                    link.receive(key.data)
                    continue
                order = control.recv(1 << 20)
                if not order:
                    return
                number, do, arguments = json.loads(order)
                try:
                    link.command(do, arguments)
                except Error as error:
                    say(answer=number, error=str(error))
                else:
                    say(answer=number)


def main(arguments: list[str]) -> int:
    """The program."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # what the whole group gets is for whoever started us
    die_with_parent(signal.SIGKILL)
    client, server, control = (socket.socket(fileno=int(number)) for number in arguments)
    with contextlib.suppress(ConnectionError):  # the other end is gone, and so is our work
        serve(client, server, control)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
