"""What the witnesses saw of one experiment, put together on one clock."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

from ..capture import Recording
from ..errors import ExperimentError
from ..findings import Evidence, Finding, Holder, describe, judge
from ..findings.table import Side
from ..kernel import SocketSample
from ..kernel.events import Event
from ..net.link_events import LinkEvent
from ..render import svg, terminal
from ..render.ladder import Fault, Ladder, StateMark, Step, from_connection
from ..report import page
from ..tcp.connection import Connection
from ..tcp.tracker import TrackerOf
from ..tcp.transcript import compare, line_of
from ..wire.decode import Decoder
from ..wire.notation import Direction, Line, parse_transcript
from .account import EVERYWHERE, accounts, ends_of
from .faults import HELD, faults
from .holding import Held, clues_by_pair
from .judgement import Check, Verdict, check
from .live import LiveConnection
from .pages import About, page_of
from .tables import Tables
from .timeline import Moment, timeline


class Experiment:
    """A finished experiment.

    Whatever is said of the first connection is empty where there was none.  Times are ns since the epoch.

    recording    what tcpdump recorded, cut where the experiment ended
    server       where the server under study listens
    connections  the connections to the server under study, in the order they began
    steps        what the programs did, when
    samples      changes in the kernel's tables, as sock_diag or psutil shows them
    tables       those tables as they were when the capture was cut
    events       what the kernel's tracepoints told, in order
    untold       why they did not tell all; "" when they did
    held         ends that were left open at its end, with the lines of this process that hold them
    networks     the networks that it was in: another one's sockets may have the same addresses
    far          the recording of the wire's other end, where both were captured
    link         what became of segments on the link between two hosts, but for those that passed
    """

    def __init__(
        self,
        recording: Recording,
        steps: tuple[Step, ...],
        samples: tuple[SocketSample, ...],
        *,
        server: tuple[str, int] | None,
        holders: Sequence[tuple[Side, SocketSample]],
        tables: Tables | None = None,
        events: Sequence[Event] = (),
        untold: str = "",
        far: Recording | None = None,
        link: Sequence[LinkEvent] = (),
        captured_at: Side = "client",
        networks: Container[int] = EVERYWHERE,
        held: tuple[Held, ...] = (),
    ) -> None:
        self.recording = recording
        self.far = far
        self.link = tuple(link)
        self._captured_at: Side = captured_at
        self.steps = steps
        self.samples = samples
        self.tables = tables or Tables()
        self.events = events
        self.server = server
        self.networks = networks
        self.held = held
        decoder = Decoder()
        self._segments = decoder.segments(recording.packets)
        self._icmp_errors = decoder.icmp_about
        self._findings: dict[LiveConnection, list[Finding]] = {}
        found = TrackerOf(LiveConnection, keep=True).feed_all(self._segments).connections
        port = str(server[1]) if server else None
        self.connections = [c for c in found if port is None or c.addresses[1].port == port]
        told = accounts(self.connections, events, samples, problem=untold, networks=networks)
        latest = {connection.addresses: connection for connection in self.connections}
        for connection, account in zip(self.connections, told, strict=True):
            connection.account = account
            # an end that is held now is of the last connection between its two addresses
            last = latest[connection.addresses] is connection
            connection.holders = tuple(_holders(connection, holders, held)) if last else ()

    @property
    def connection(self) -> LiveConnection:
        """The first connection.  ExperimentError when there was none."""
        if not self.connections:
            raise ExperimentError("no connection to the server was captured")
        return self.connections[0]

    @cached_property
    def evidence(self) -> Evidence:
        """What the findings on the first connection may lean on besides its segments."""
        return self.evidence_on(self.connections[0]) if self.connections else Evidence(source="live")

    def evidence_on(self, connection: LiveConnection) -> Evidence:
        """The same for any one of the connections."""
        return Evidence(
            end_ns=self.recording.cut_ns,
            source="live",
            dropped=self.recording.dropped or 0,
            complete=self.recording.complete,
            icmp_errors=self._icmp_errors,
            holders=connection.holders,
            readings=tuple(self.tables.readings(*ends_of(connection))),
            reset_reason=connection.reset_reason_in_words,
        )

    @property
    def findings(self) -> list[Finding]:
        """What is to be said of the first connection, worst first."""
        return self.findings_on(self.connection) if self.connections else []

    def findings_on(self, connection: LiveConnection) -> list[Finding]:
        """What is to be said of any one of the connections, worst first."""
        found = self._findings.get(connection)
        if found is None:
            found = self._findings[connection] = judge(connection, self.evidence_on(connection))
        return found

    @property
    def words(self) -> str:
        """The first connection in words, each finding in a line of its own."""
        return self.words_on(self.connection)

    def words_on(self, connection: LiveConnection) -> str:
        """The same for any one of the connections."""
        story = describe(connection, self.evidence_on(connection), ())
        return "\n".join([story, *(f"{f.severity} {f.code}: {f.text}" for f in self.findings_on(connection))])

    def finding_codes(self) -> list[str]:
        """The codes of the findings, each once."""
        return list(dict.fromkeys(f.code for f in self.findings))

    # ------------------------------------------------------------ checks

    def check_capture(self) -> Check:
        """Is the capture whole?  One that is not proves nothing either way."""
        near = self._check_recording(self.recording)
        if self.far is None or near.verdict is not Verdict.PASS:
            return near
        return self._check_recording(self.far)

    @staticmethod
    def _check_recording(recording: Recording) -> Check:
        statement = "the capture is complete"
        if recording.dropped:
            return Check(
                "capture", statement, Verdict.INCONCLUSIVE, f"{recording.dropped} packets were dropped"
            )
        if recording.complete is False:
            return Check(
                "capture",
                statement,
                Verdict.INCONCLUSIVE,
                f"the interface carried {recording.interface_packets} packets and "
                f"{len(recording.packets)} were captured",
            )
        if recording.complete is None:
            # a shared interface or a filter: tcpdump's own count is all there is
            known = recording.dropped is not None
            return Check(
                "capture",
                "tcpdump counts no packet as dropped; that none is missing cannot be proved here",
                Verdict.PASS if known else Verdict.INCONCLUSIVE,
                "" if known else "tcpdump said nothing of drops",
            )
        return check("capture", statement, True)

    def check_transcript(
        self,
        expected: str | Sequence[Line],
        *,
        exact: bool = False,
        connection: Connection | None = None,
        elastic: Collection[Direction] = (),
    ) -> Check:
        """Hold a connection against a transcript; the detail of a failure is the diff of both."""
        lines = parse_transcript(expected) if isinstance(expected, str) else expected
        how = "is exactly" if exact else "means"
        statement = f"the conversation {how} what was expected"
        if connection is None and not self.connections:
            return Check("wire", statement, Verdict.FAIL, "no connection to the server was captured")
        compared = compare(lines, connection or self.connection, exact=exact, elastic=elastic)
        legend = "- expected, not seen; + seen, not expected   # time  client / server"
        return check("wire", statement, compared.same, "\n".join((compared.parting, legend, *compared.diff)))

    def expect(self, transcript: str, *, exact: bool = False) -> None:
        """Hold the first connection against a transcript in packetdrill's notation, `>` from the client.

        exact  every segment counts; else what was meant, see `tcp.transcript`

        AssertionError, with the diff of both conversations and the lines that hold a connection open, where
        they differ, where there was no connection, and where the capture is not complete: inconclusive.
        """
        __tracebackhide__ = True
        whole = self.check_capture()
        assert whole.verdict is Verdict.PASS, f"inconclusive: {whole.detail}"
        verdict = self.check_transcript(transcript, exact=exact)
        if verdict.verdict is not Verdict.PASS:
            told = "\n".join((verdict.detail, *map(str, self.held)))
            raise AssertionError(told)

    # ------------------------------------------------------------ states, ladder, files

    def states(self, side: Side) -> list[str]:
        """The states that the kernel told of one end of the first connection: see `LiveConnection.states`."""
        return self.connection.states(side) if self.connections else []

    def marks(self) -> list[StateMark]:
        """The kernel's state changes of the first connection; a change of holder alone is none."""
        return self.connection.account.marks if self.connections else []

    def timeline(self) -> list[Moment]:
        """All that any witness told of the first connection, on one clock."""
        if not self.connections:
            return []
        return timeline(self.connection, self.samples, self.steps_of(self.connection))

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

    def steps_of(self, connection: LiveConnection) -> list[Step]:
        """What was done to one connection; what was done to none in particular belongs to the first one
        that went on after it."""
        return [step for step, of in self._step_owners if of is connection]

    @cached_property
    def _step_owners(self) -> list[tuple[Step, LiveConnection]]:
        """Each step, and the connection that it belongs to."""
        found = []
        for step in self.steps:
            own = [c for c in self.connections if not step.port or c.addresses[0].port == str(step.port)]
            if own:
                found.append((step, next((c for c in own if c.last_time_ns >= step.time_ns), own[-1])))
        return found

    @cached_property
    def faults(self) -> list[Fault]:
        """What the link did to segments of the first connection."""
        return self.faults_of(self.connection) if self.connections else []

    def faults_of(self, connection: LiveConnection) -> list[Fault]:
        """The same for any one of the connections."""
        return faults(connection, self.connections, self.link, self._segments, self._captured_at)

    @property
    def late(self) -> set[int]:
        """Frames of segments that the link had held on their way to where they were captured."""
        from_client = self._captured_at == "server"
        return {
            fault.frame
            for connection in self.connections
            for fault in self.faults_of(connection)
            if fault.frame is not None and fault.from_client == from_client and fault.what.startswith(HELD)
        }

    def transcript(self) -> list[str]:
        """The first connection in the notation; what the link did stands behind a line as a comment, and
        what was not captured for it (``dropped here``, on the way to this end) has a line of its own."""
        if not self.connections:
            return []
        done = {fault.frame: fault.what for fault in self.faults}
        rows = [
            (exchange.segment.time_ns, str(line_of(exchange)), done.get(exchange.segment.frame, ""))
            for exchange in self.connection.exchanges or ()
        ]
        unseen = [(f.time_ns, f.notation, f.what) for f in self.faults if f.frame is None]
        rows = sorted([*rows, *unseen], key=lambda row: row[0]) if unseen else rows
        return [f"{line}  # {what}" if what else line for _, line, what in rows]

    def ladder(
        self, title: str = "", *, limit: int | None = None, connection: LiveConnection | None = None
    ) -> Ladder:
        """A connection, the first one by default, as a drawing of at most `limit` segments."""
        drawn = connection or self.connection
        return from_connection(
            drawn,
            steps=self.steps_of(drawn),
            kernel=drawn.account.marks,
            findings=self.findings_on(drawn),
            faults=self.faults_of(drawn),
            icmp=self.evidence_on(drawn).icmp_of(drawn),
            title=title,
            limit=limit,
        )

    def save(self, folder: Path, title: str = "", about: About = About()) -> dict[str, str]:  # noqa: B008
        """Write capture, ladder and page into `folder`; returns what was written, by kind.

        about   what the page says besides

        Error handling: OSError where it cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        files = {"capture": folder / "capture.pcap"}
        self.recording.save(files["capture"])
        if self.far is not None:
            files["far-capture"] = folder / "capture-far-end.pcap"
            self.far.save(files["far-capture"])
        if self.connections:
            ladder = self.ladder(title)
            files |= {"ladder": folder / "ladder.txt", "svg": folder / "ladder.svg"}
            files["ladder"].write_text(terminal.plain(ladder, 100, ascii_only=False), encoding="utf-8")
            files["svg"].write_text(svg.draw(ladder), encoding="utf-8")
        files["page"] = folder / "index.html"
        page.write(files["page"], page_of(self, title, about, folder))
        return {kind: str(path) for kind, path in files.items()}


def _holders(
    connection: Connection, holders: Iterable[tuple[Side, SocketSample]], held: Iterable[Held]
) -> Iterator[Holder]:
    """Those of `holders` that hold an end of this connection, with the lines that do where they are known."""
    client, server = ends_of(connection)
    clues = clues_by_pair(held)
    for side, s in holders:
        pair = (s.local, s.remote)
        if s.pid is not None and pair == ((client, server) if side == "client" else (server, client)):
            yield Holder(side, s.pid, s.fd, s.command, str(s.state), s.witness, clues.get(pair, ()))
