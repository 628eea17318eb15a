"""The missing-fin scenario shows the published experiment again, packet by packet."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from testbed.scenarios import run
from testbed.wire.notation import Line, parse
from testbed.wire.segment import Flag

pytestmark = pytest.mark.timeout(120)
MACOS_WINDOW_UPDATE = 4  # a habit of its loopback, not seen on Linux


def published(path: Path) -> list[Line]:
    """The rows of the seed, less the macOS window update, relative to each side's first number."""
    with path.open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    first = {"client": int(rows[0]["seq"]), "server": int(rows[1]["seq"])}
    lines = []
    for row in rows:
        if int(row["packet"]) == MACOS_WINDOW_UPDATE:
            continue
        flags = sum(Flag[name] for name in row["flags"].split(","))
        other = "server" if row["from"] == "client" else "client"
        ack = int(row["ack"]) - first[other] if flags & Flag.ACK else None
        lines.append(
            Line(
                ">" if row["from"] == "client" else "<",
                flags,
                int(row["seq"]) - first[row["from"]],
                int(row["len"]),
                ack,
            )
        )
    return lines


def test_row_by_row(shared: Path, live: None) -> None:
    expected = published(shared / "seeds" / "rpc-2333.absolute.tsv")
    (result,) = run(["missing-fin"])
    assert result.verdict == "pass", result.why
    seen = [parse(text) for text in result.transcript]
    assert seen[:9] == expected[:9]  # rows 1-10 of the published capture, in order
    # Packets 11 and 12 of the text capture are both ends' probes, 13 and 14 the answers.  The two
    # pairs come in either order: each end's timer counts from its own last segment.
    server_pair = [Line("<", 0x10, 254, 0, 106), Line(">", 0x10, 106, 0, 255)]
    client_pair = [Line(">", 0x10, 105, 0, 255), Line("<", 0x10, 255, 0, 106)]
    assert expected[9] == server_pair[0]
    assert expected[10] == client_pair[0]
    probes = seen[9:]
    assert len(probes) == 4
    for pair in (server_pair, client_pair):
        assert [line for line in probes if line in pair] == pair
