"""A finished experiment as a page: its checks, and each connection with the kernel's states."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..findings import describe
from ..render.ladder import StateMark
from ..render.wording import counted
from ..report import page
from .account import SIDES
from .judgement import Check, worst
from .live import LiveConnection

if TYPE_CHECKING:
    from .experiment import Experiment


class About(NamedTuple):
    """What a page says of an experiment that its witnesses do not.

    kind     what ran it: ``testbed run``
    command  what runs it again; "" where nothing does
    lead     what it shows, or why its verdict is what it is
    checks   what it was held to; none: it has no verdict
    """

    kind: str = "testbed"
    command: str = ""
    lead: str = ""
    checks: Sequence[Check] = ()


def page_of(experiment: Experiment, title: str, about: About, folder: Path) -> page.Page:
    """The page of an experiment whose captures are in `folder`."""
    recording = experiment.recording
    dropped = "" if recording.dropped is None else f", {recording.dropped:,} dropped"
    files = page.Files(folder)
    listed = [
        (number, connection, experiment.findings_on(connection))
        for number, connection in enumerate(experiment.connections[: page.ROWS], start=1)
    ]
    drawn = page.fitting((number, _segments(connection)) for number, connection, _ in listed)
    left = len(experiment.connections) - len(listed)
    return page.Page(
        title=title or "experiment",
        kind=about.kind,
        verdict=str(worst(about.checks)) if about.checks else "",
        lead=about.lead,
        facts=(f"{counted(len(recording.packets), 'packet')} captured{dropped}",),
        command=about.command,
        downloads=(
            *files.download("capture.pcap", folder / "capture.pcap"),
            *files.download("capture-far-end.pcap", folder / "capture-far-end.pcap"),
        ),
        checks=tuple(
            page.CheckRow(str(c.verdict), c.witness, c.statement, tuple(c.detail.splitlines()))
            for c in about.checks
        ),
        listed=tuple(page.listed(*row) for row in listed),
        shown=tuple(
            page.shown(
                number,
                connection,
                story=describe(connection, experiment.evidence_on(connection), ()),
                findings=findings,
                ladder=experiment.ladder(limit=page.LADDER, connection=connection),
                kernel=_kernel(connection),
                end_ns=recording.cut_ns,
            )
            for number, connection, findings in listed
            if number in drawn
        ),
        more=f"{counted(left, 'more connection')} in the capture" if left > 0 else "",
    )


def _kernel(connection: LiveConnection) -> Iterator[StateMark]:
    """The kernel's states, each end's until it handed its socket over and nobody saw what came then."""
    account = connection.account
    yield from account.marks
    for side in SIDES:
        chain, told = account.transitions[side], account.states(side)
        if chain and account.handed_over(chain[-1]) and told[-1:] == [str(chain[-1].before)]:
            yield StateMark(chain[-1].time_ns, side, "", "tracepoint")


def _segments(connection: LiveConnection) -> int:
    return connection.client.packets + connection.server.packets
