"""The evidence of a check as files: its capture, a ladder of each connection, the server's last output."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ..render import svg, terminal
from ..render.ladder import Ladder, from_connection
from .checks.table import Check
from .outcome import Outcome
from .stage import Stage

COLUMNS: Final = 100
MOST_LADDERS: Final = 6
MOST_SEGMENTS: Final = 60


class _Telling:
    """A packet that the outcome rests on, as a ladder marks one."""

    def __init__(self, frame: int, check: Check, outcome: Outcome) -> None:
        self.frame: int | None = frame
        self.code = check.id
        self.severity = "error" if outcome.verdict.bad else "warning" if outcome.verdict.complains else "info"


def save(stage: Stage, check: Check, outcome: Outcome, folder: Path) -> dict[str, str]:
    """Write them into `folder`; returns what was written, by kind."""
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, Path] = {}
    assert stage.recording is not None  # the caller has cut
    files["capture"] = folder / "capture.pcap"
    stage.recording.save(files["capture"])
    telling = [_Telling(frame, check, outcome) for frame in outcome.frames]
    drawings: list[Ladder] = []
    for peer in stage.peers:
        connection = stage.seen(peer).connection
        if connection is None or len(drawings) >= MOST_LADDERS:
            continue
        frames = {exchange.segment.frame for exchange in connection.exchanges or ()}
        drawings.append(
            from_connection(
                connection,
                title=f"{check.id}, client {peer.number} of {len(stage.peers)}: {check.question}",
                steps=stage.steps(peer),
                kernel=stage.marks(peer),
                findings=[mark for mark in telling if mark.frame in frames],
                limit=MOST_SEGMENTS,
            )
        )
    if drawings:
        files["ladder"] = folder / "ladder.txt"
        text = "\n".join(terminal.plain(ladder, COLUMNS) for ladder in drawings)
        files["ladder"].write_text(f"{outcome.verdict}: {outcome.what}\n\n{text}", encoding="utf-8")
        files["svg"] = folder / "ladder.svg"
        files["svg"].write_text(svg.draw(drawings[0]), encoding="utf-8")
    if stage.targets:
        files["output"] = folder / "server.log"
        files["output"].write_text(stage.target.output, encoding="utf-8")
    return {kind: str(path) for kind, path in files.items()}
