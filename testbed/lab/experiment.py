"""What the witnesses saw of one experiment, put together on one clock."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from ..capture import Recording
from ..errors import ExperimentError
from ..findings import Evidence, Finding, Holder, describe, judge
from ..findings.table import Side
from ..kernel import SocketSample
from ..kernel.events import Event
from ..render import svg, terminal
from ..render.ladder import Ladder, StateMark, Step, from_connection
from ..tcp.connection import Connection
from ..tcp.tracker import TrackerOf
from ..tcp.transcript import compare, lines_of
from ..wire.notation import Line, parse_transcript
from .account import EVERYWHERE, accounts
from .judgement import Check, Verdict, check
from .live import LiveConnection
from .timeline import Moment, timeline


class Experiment:
    """A finished experiment.

    recording    what tcpdump recorded, cut where the experiment ended
    connections  the connections to the server under study, in the order they began
    steps        what the programs did, when
    samples      changes in the kernel's tables, as sock_diag or psutil shows them
    events       what the kernel's tracepoints told, in order
    untold       why they did not tell all; "" when they did
    networks     the networks that it was in: another one's sockets may have the same addresses
    """

    def __init__(
        self,
        recording: Recording,
        steps: tuple[Step, ...],
        samples: tuple[SocketSample, ...],
        *,
        server: tuple[str, int] | None,
        holders: Mapping[Side, SocketSample],
        events: Sequence[Event] = (),
        untold: str = "",
        networks: Container[int] = EVERYWHERE,
    ) -> None:
        self.recording = recording
        self.steps = steps
        self.samples = samples
        self.events = events
        self._holders = holders
        found = TrackerOf(LiveConnection, keep=True).feed_all(recording.segments()).connections
        port = str(server[1]) if server else None
        self.connections = [c for c in found if port is None or c.addresses[1].port == port]
        told = accounts(self.connections, events, samples, problem=untold, networks=networks)
        for connection, account in zip(self.connections, told, strict=True):
            connection.account = account
            connection.holders = ()
        if self.connections:
            self.connections[0].holders = self.evidence.holders

    @property
    def connection(self) -> LiveConnection:
        """The first connection.  ExperimentError when there was none."""
        if not self.connections:
            raise ExperimentError("no connection to the server was captured")
        return self.connections[0]

    @cached_property
    def evidence(self) -> Evidence:
        """What the findings may lean on besides the segments."""
        packets = self.recording.packets
        return Evidence(
            end_ns=packets[-1].time_ns if packets else 0,
            source="live",
            dropped=self.recording.dropped or 0,
            complete=self.recording.complete,
            holders=tuple(
                Holder(side, s.pid, s.fd, s.command, str(s.state), s.witness)
                for side, s in self._holders.items()
                if s.pid is not None
            ),
            reset_reason=self.connections[0].reset_reason_in_words if self.connections else "",
        )

    @cached_property
    def findings(self) -> list[Finding]:
        """What is to be said of the first connection, worst first."""
        return judge(self.connection, self.evidence) if self.connections else []

    @property
    def words(self) -> str:
        """The first connection in words, each finding in a line of its own."""
        return "\n".join([self.story, *(f"{f.severity} {f.code}: {f.text}" for f in self.findings)])

    @property
    def story(self) -> str:
        """How the first connection opened, what it carried, how it ended."""
        return describe(self.connection, self.evidence, ())

    def finding_codes(self) -> list[str]:
        """The codes of the findings, each once."""
        return list(dict.fromkeys(f.code for f in self.findings))

    # ------------------------------------------------------------ checks

    def check_capture(self) -> Check:
        """Is the capture whole?  One that is not proves nothing either way."""
        statement = "the capture is complete"
        if self.recording.dropped:
            return Check(
                "capture", statement, Verdict.INCONCLUSIVE, f"{self.recording.dropped} packets were dropped"
            )
        if self.recording.complete is False:
            return Check(
                "capture",
                statement,
                Verdict.INCONCLUSIVE,
                f"the interface carried {self.recording.interface_packets} packets and "
                f"{len(self.recording.packets)} were captured",
            )
        if self.recording.complete is None:
            # a shared interface or a filter: tcpdump's own count is all there is
            known = self.recording.dropped is not None
            return Check(
                "capture",
                "tcpdump counts no packet as dropped; that none is missing cannot be proved here",
                Verdict.PASS if known else Verdict.INCONCLUSIVE,
                "" if known else "tcpdump said nothing of drops",
            )
        return check("capture", statement, True)

    def check_transcript(
        self, expected: str | Sequence[Line], *, exact: bool = False, connection: Connection | None = None
    ) -> Check:
        """Hold a connection against a transcript; the detail of a failure is the diff of both."""
        lines = parse_transcript(expected) if isinstance(expected, str) else expected
        how = "is exactly" if exact else "means"
        statement = f"the conversation {how} what was expected"
        if connection is None and not self.connections:
            return Check("wire", statement, Verdict.FAIL, "no connection to the server was captured")
        compared = compare(lines, connection or self.connection, exact=exact)
        legend = "- expected, not seen; + seen, not expected   # time  client / server"
        return check("wire", statement, compared.same, "\n".join((legend, *compared.diff)))

    def expect(self, transcript: str, *, exact: bool = False) -> None:
        """For tests: AssertionError with the diff of both conversations and the ladder when they differ."""
        __tracebackhide__ = True
        whole = self.check_capture()
        assert whole.verdict is Verdict.PASS, f"inconclusive: {whole.detail}"
        verdict = self.check_transcript(transcript, exact=exact)
        assert verdict.verdict is Verdict.PASS, f"{verdict.statement}: no\n{verdict.detail}"

    # ------------------------------------------------------------ states, ladder, files

    def states(self, side: Side) -> list[str]:
        """The states that the kernel told of one end of the first connection: see `LiveConnection.states`."""
        return self.connection.states(side) if self.connections else []

    def marks(self) -> list[StateMark]:
        """The kernel's state changes of the first connection; a change of holder alone is none."""
        return self.connection.account.marks if self.connections else []

    def timeline(self) -> list[Moment]:
        """All that any witness told of the first connection, on one clock."""
        return timeline(self.connection, self.samples, self.steps) if self.connections else []

    def state_rows(self) -> list[dict[str, object]]:
        """Every state change by witness, in order of time, as `run --json` prints them."""
        rows: list[tuple[int, str, str, str]] = [
            (mark.time_ns, mark.side, mark.state, mark.witness) for mark in self.marks()
        ]
        if self.connections:
            for end in (self.connection.client, self.connection.server):
                rows += [(t.time_ns, end.side, str(t.state), "wire") for t in end.transitions]
        keys = ("time_ns", "endpoint", "state", "witness")
        return [dict(zip(keys, row, strict=True)) for row in sorted(rows, key=lambda row: row[0])]

    def transcript(self) -> list[str]:
        """The first connection in the notation."""
        return [str(line) for line in lines_of(self.connection)] if self.connections else []

    def ladder(self, title: str = "") -> Ladder:
        """The first connection as a drawing."""
        return from_connection(
            self.connection,
            steps=self.steps,
            kernel=self.marks(),
            findings=self.findings,
            title=title,
        )

    def save(self, folder: Path, title: str = "") -> dict[str, str]:
        """Write capture and ladder into `folder`; returns what was written, by kind."""
        folder.mkdir(parents=True, exist_ok=True)
        files = {"capture": folder / "capture.pcap"}
        self.recording.save(files["capture"])
        if self.connections:
            ladder = self.ladder(title)
            files |= {"ladder": folder / "ladder.txt", "svg": folder / "ladder.svg"}
            files["ladder"].write_text(terminal.plain(ladder, 100, ascii_only=False), encoding="utf-8")
            files["svg"].write_text(svg.draw(ladder), encoding="utf-8")
        return {kind: str(path) for kind, path in files.items()}
