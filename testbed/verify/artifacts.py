"""The evidence of a check as files: its capture, a ladder of each connection, the server's last output."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ..render import svg, terminal
from ..render.ladder import from_connection
from . import pages
from .checks.table import Check
from .outcome import Outcome
from .stage import Stage

COLUMNS: Final = 100
MOST_LADDERS: Final = 6
MOST_SEGMENTS: Final = 60


def save(stage: Stage, check: Check, outcome: Outcome, folder: Path) -> dict[str, str]:
    """Write them into `folder`; returns what was written, by kind."""
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, Path] = {}
    assert stage.recording is not None  # the caller has cut
    files["capture"] = folder / "capture.pcap"
    stage.recording.save(files["capture"])
    drawn: list[pages.Drawn] = []
    for peer in stage.peers:
        connection = stage.seen(peer).connection
        if connection is None or len(drawn) >= MOST_LADDERS:
            continue
        telling, marks = pages.telling(check, outcome, connection), stage.marks(peer)
        ladder = from_connection(
            connection,
            title=f"{check.id}, client {peer.number} of {len(stage.peers)}: {check.question}",
            steps=stage.steps(peer),
            kernel=marks,
            findings=telling,
            limit=MOST_SEGMENTS,
        )
        drawn.append(pages.Drawn(peer.number, connection, ladder, marks, telling))
    if drawn:
        files["ladder"] = folder / "ladder.txt"
        text = "\n".join(terminal.plain(one.ladder, COLUMNS) for one in drawn)
        files["ladder"].write_text(f"{outcome.verdict}: {outcome.told}\n\n{text}", encoding="utf-8")
        files["svg"] = folder / "ladder.svg"
        files["svg"].write_text(svg.draw(drawn[0].ladder), encoding="utf-8")
    files["page"] = pages.write(folder, stage.plan, check, outcome, drawn, stage.recording.cut_ns)
    if stage.targets:
        files["output"] = folder / "server.log"
        files["output"].write_text(stage.target.output, encoding="utf-8")
    return {kind: str(path) for kind, path in files.items()}
