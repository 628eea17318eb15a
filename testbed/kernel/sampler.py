"""The kernel's socket tables sampled in the background, by the best witness that answers here.

`sock_diag` where the kernel has it: a sample of an experiment's few sockets takes it a few tens of
microseconds, and shows queues, timers and what half is shut.  `psutil` elsewhere: the portable
floor.  Each sample says which of them it rests on.

Sampling sees what stands still.  On loopback FIN_WAIT_1, CLOSING and LAST_ACK pass within
microseconds and are almost never among the samples: that a state was not seen is no evidence that
it was not there.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from types import TracebackType
from typing import Literal, Self

from ..errors import UsageError, WitnessTimeout
from ..tcp.states import State
from .look import Inside, Look, Looker, PsutilLook, Standing, looker
from .owners import Owner, owners
from .sample import SocketAddress, SocketSample, Where, Witness, is_at, matching, name_of

Source = Literal["auto", "sock_diag", "psutil"]

_TURNS = 12
"""A server in this event loop needs about five to read an end of file and to close."""

_Key = tuple[SocketAddress, SocketAddress | None]


class Sampler:
    """Samples the socket tables every `interval` seconds, as an async context manager.

    port        only sockets with this port at either end
    pids        processes in which holders are looked for first (by psutil: alone); may be changed at
                any time
    source      who is to be asked; ``auto``: sock_diag where it answers, else psutil
    changes     each change seen of a (local, remote) pair, in order; its end is a sample with
                state None
    samples     how often the tables were read
    heard       called with each look, if it is set
    networks    contexts in which the thread is in the networks to look at (`net.hosts`), all of which
                sock_diag then samples together; default: the one that the thread is in when it enters

    Where one pair has two rows (a descriptor left open after `shutdown()` can show as CLOSED beside
    the kernel's own TIME_WAIT) the row that is not CLOSED has the state.

    Error handling: CapabilityError on entering where the witness cannot look; what goes wrong in the
    background is raised by the next `wait_for`, `wait_gone`, `sample`, or on leaving.
    """

    def __init__(
        self,
        *,
        interval: float = 0.02,
        port: int | None = None,
        pids: Sequence[int] = (),
        source: Source = "auto",
        networks: Sequence[Inside] = (),
    ) -> None:
        if interval <= 0:
            raise UsageError(f"an interval of {interval} s is none")
        self.interval = interval
        self.port = port
        self.pids: Sequence[int] = pids
        self.source = source
        self.networks = networks
        self.changes: list[SocketSample] = []
        self.samples = 0
        self.heard: Callable[[Look], object] | None = None
        self._look: Look = PsutilLook([], 0)
        self._standing = Standing({}, [])
        self._held: dict[_Key, SocketSample] = {}
        self._witness: Looker | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._task is not None:
            raise UsageError("this Sampler was entered already; make another one")
        with contextlib.ExitStack() as stack:
            self._witness = looker(None if self.source == "auto" else self.source, self.networks)
            stack.callback(self._witness.close)
            self.sample()
            stack.pop_all()
        self._task = asyncio.create_task(self._run(), name="kernel witness")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        task, witness = self._task, self._witness
        assert task is not None
        assert witness is not None
        task.cancel()
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        finally:
            witness.close()
        if kind is None:
            self._raise_failure()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self.interval)
            self.sample()

    def _raise_failure(self) -> None:
        task = self._task
        if task is not None and task.done() and not task.cancelled() and (error := task.exception()):
            raise error

    # ---- looking

    @property
    def witness(self) -> Witness:
        """Who is asked; known once the Sampler was entered."""
        if self._witness is None:
            raise UsageError("enter the Sampler first: async with Sampler(...) as kernel")
        return self._witness.name

    def sample(self) -> Look:
        """Read the tables now, note what changed, and return what is there.

        Of tens of thousands of sockets only those are decoded that changed or that are looked at.
        """
        if self._witness is None:
            raise UsageError("enter the Sampler first: async with Sampler(...) as kernel")
        look = self._witness.look(self.port, self.pids)
        self.samples += 1
        if not look.same_as(self._look):
            self._note(look)
        self._look = look
        if self.heard is not None:
            self.heard(look)
        return look

    def _note(self, look: Look) -> None:
        """Write down what is new in `look`, and what is no longer in it."""
        earlier, before, after = self._look, self._standing, look.standing()
        lost = list(before.hidden)
        for ends, (mark, number) in after.now.items():
            was = before.now.get(ends)
            if was is None or was[0] != mark:
                self.changes.append(look[number])
        for ends, (mark, number) in before.now.items():
            now = after.now.get(ends)
            if now is None:
                gone = earlier[number]
                self.changes.append(
                    SocketSample(look.time_ns, gone.local, gone.remote, None, None, None, None, gone.witness)
                )
            if now is None or now[0] != mark:
                lost.append(number)
        for sample in map(earlier.__getitem__, lost):
            if _is_held(sample):
                self._held[sample.local, sample.remote] = sample
        self._standing = after

    @property
    def current(self) -> list[SocketSample]:
        """What was there at the last sample, one for each connection."""
        return [self._look[number] for _, number in self._standing.now.values()]

    # ---- holders

    def holders(self, sample: SocketSample) -> Iterator[Owner]:
        """Who holds the socket of `sample` now: of `pids` first, then of all that this user may look into."""
        if sample.inode is not None:
            yield from owners(sample.inode, self.pids)
        elif sample.pid is not None and sample.fd is not None:
            yield Owner(sample.pid, sample.fd, sample.command)

    def owner(self, sample: SocketSample) -> SocketSample:
        """`sample` with the process that holds its socket, if there is one and it may be seen."""
        if sample.pid is not None:
            return sample
        first = next(self.holders(sample), None)
        return sample if first is None else sample._replace(**first._asdict())

    def holder_of(self, local: Where = None, remote: Where = None) -> SocketSample | None:
        """The last sample in which a process held such a socket; None when none was ever seen to.

        sock_diag shows that it was held; by whom can be told only while it still is: else pid is None.
        """
        held = matching(self._held.values(), local, remote)
        held += filter(_is_held, matching(self._look, local, remote))
        last = max(held, key=lambda sample: sample.time_ns, default=None)
        return None if last is None else self.owner(last)

    # ---- waiting

    async def wait_for(
        self,
        local: Where = None,
        remote: Where = None,
        *,
        state: State | Collection[State],
        timeout: float = 5.0,
    ) -> SocketSample:
        """Wait until a socket with these ends is seen in `state` (or one of several).

        A state seen at any sample from now on counts, even when it has passed by the next one.

        Error handling: WitnessTimeout after `timeout` seconds, with the states that were seen.
        """
        wanted = {state} if isinstance(state, State) else set(state)
        glimpsed = await self._turns(local, remote, lambda one: one is not None and one.state in wanted)
        for sample in matching(self.sample(), local, remote):
            if sample.state in wanted:
                return sample
        if glimpsed is not None and glimpsed.state in wanted:  # it has passed by now
            self.changes.append(glimpsed)
            return glimpsed
        seen = len(self.changes)
        for left in self._until(timeout):
            await asyncio.sleep(left)
            self._sample_again()
            for sample in matching(self.changes[seen:], local, remote):
                if sample.state in wanted:
                    return sample
            seen = len(self.changes)
        names = " or ".join(sorted(wanted))
        raise WitnessTimeout(
            f"{_pair(local, remote)} was not seen in {names} within {timeout:g} s: "
            + self._history(local, remote)
        )

    async def wait_gone(self, local: Where = None, remote: Where = None, *, timeout: float = 5.0) -> None:
        """Wait until no socket with these ends is in the tables.

        Error handling: WitnessTimeout after `timeout` seconds, with what is still there.
        """
        await self._turns(local, remote, lambda one: one is None)
        if not matching(self.sample(), local, remote):
            return
        for left in self._until(timeout):
            await asyncio.sleep(left)
            if not matching(self._sample_again(), local, remote):
                return
        raise WitnessTimeout(
            f"{_pair(local, remote)} was still there after {timeout:g} s: " + self._history(local, remote)
        )

    async def _turns(
        self, local: Where, remote: Where, settled: Callable[[SocketSample | None], bool]
    ) -> SocketSample | None:
        """Give what runs in this event loop a few turns, until they have settled it or no longer can.

        Returns the last glimpse of the one socket.  It takes a tenth of the time of a sample, and what
        settles in this process has settled before a pause could end.
        """
        assert self._witness is not None
        glimpsed = None
        if isinstance(local, tuple) and isinstance(remote, tuple) and local[0]:  # it is bound by now
            for _ in range(_TURNS):
                glimpsed = self._witness.one(local, remote)
                if settled(glimpsed):
                    break
                await asyncio.sleep(0)
        return glimpsed

    def _sample_again(self) -> Look:
        self._raise_failure()
        return self.sample()

    def _until(self, timeout: float) -> Iterator[float]:
        """Pauses, of a millisecond and then of the interval at most, until `timeout` seconds are over."""
        deadline = time.monotonic() + timeout
        pause = min(0.001, self.interval)
        while (left := deadline - time.monotonic()) > 0:
            yield min(left, pause)
            pause = min(2 * pause, self.interval)

    def _history(self, local: Where, remote: Where) -> str:
        """What was seen of such sockets, in order."""
        pairs: dict[_Key, list[str]] = {}
        for change in self.changes:
            if is_at(change.local, local) and is_at(change.remote, remote):
                pairs.setdefault((change.local, change.remote), []).append(change.state or "gone")
        if not pairs:
            return f"no such socket was seen at all in {self.samples} samples"
        told = [f"{_pair(*key)} went {', '.join(states)}" for key, states in list(pairs.items())[:5]]
        more = f"; and {len(pairs) - 5} more" if len(pairs) > 5 else ""
        return f"{'; '.join(told)}{more} ({self.samples} samples)"


def _is_held(sample: SocketSample) -> bool:
    return sample.pid is not None or bool(sample.inode)


def _pair(local: Where, remote: Where) -> str:
    return f"{name_of(local)} -> {name_of(remote)}"
