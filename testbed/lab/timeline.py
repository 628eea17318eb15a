"""Everything that any witness told of a connection, on one clock: segments, the kernel, samples, programs.

The clock is the time of day as the kernel stamps packets with it.  `Timeline.error` says how far each
of the others may be from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

from ..kernel import SocketSample
from ..kernel.events import Event, ResetReceived, ResetSent, Transition
from ..kernel.sample import SocketAddress
from ..render.ladder import Step
from ..tcp.notes import names
from ..tcp.transcript import line_of
from .account import SIDES, Account, ends_of
from .live import LiveConnection

Who = Literal["client", "server", "lab"]


class Moment(NamedTuple):
    """One thing that happened.

    time_ns  nanoseconds since the epoch
    who      whose doing or whose state
    witness  ``wire``, ``tracepoint``, ``sock_diag``, ``psutil`` or ``program``
    what     in a line
    """

    time_ns: int
    who: Who
    witness: str
    what: str

    def to_json(self) -> dict[str, Any]:
        """As in `run --timeline --json`."""
        return self._asdict()


def timeline(
    connection: LiveConnection, samples: Sequence[SocketSample], steps: Sequence[Step]
) -> list[Moment]:
    """All that is known of `connection`, in order of time.

    samples  changes in the kernel's tables, of any connection
    steps    what the programs did
    """
    moments = [*_steps(steps), *_wire(connection), *_kernel(connection), *_samples(connection, samples)]
    return sorted(moments, key=lambda moment: moment.time_ns)


def _steps(steps: Sequence[Step]) -> Iterator[Moment]:
    for step in steps:
        yield Moment(step.time_ns, step.side, "program", step.text)


def _wire(connection: LiveConnection) -> Iterator[Moment]:
    for exchange in connection.exchanges or ():
        notes = "".join(f", {note}" for note in names(exchange.notes))
        what = f"{line_of(exchange)}  (frame {exchange.segment.frame}{notes})"
        yield Moment(exchange.segment.time_ns, "client" if exchange.from_client else "server", "wire", what)


def _kernel(connection: LiveConnection) -> Iterator[Moment]:
    account = connection.account
    events: list[Event] = [event for side in SIDES for event in account.transitions[side]]
    events += [*account.resets_sent, *account.resets_received, *account.retransmissions]
    client = ends_of(connection)[0]
    for event in events:
        yield Moment(event.time_ns, _who(event.local, client), "tracepoint", _told(event, account))


def _told(event: Event, account: Account) -> str:
    if isinstance(event, Transition):
        stays = ": the socket; a small object stays" if account.handed_over(event) else ""
        return f"{event.before} -> {event.state}{stays}"
    if isinstance(event, ResetSent):
        return f"sends an RST: {event.reason or 'it does not say why'}"
    return "takes an RST" if isinstance(event, ResetReceived) else f"sends again, in {event.state}"


def _samples(connection: LiveConnection, samples: Sequence[SocketSample]) -> Iterator[Moment]:
    client, server = ends_of(connection)
    before: dict[SocketAddress, str] = {}
    for sample in samples:
        if (sample.local, sample.remote) not in ((client, server), (server, client)):
            continue
        what = _seen(sample)
        if before.get(sample.local) != what:
            before[sample.local] = what
            yield Moment(sample.time_ns, _who(sample.local, client), sample.witness, what)


def _seen(sample: SocketSample) -> str:
    if sample.state is None:
        return "is in the tables no more"
    held = f", held by {sample.command or 'process'} {sample.pid}" if sample.pid else ""
    if sample.diag is not None and sample.diag.small:
        held = ", a small object that nobody holds"
    elif sample.inode == 0:
        held = ", held by nobody"
    return f"is in {sample.state}{held}"


def _who(local: SocketAddress, client: SocketAddress) -> Who:
    return "client" if local == client else "server"
