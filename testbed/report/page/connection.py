"""A connection as a page shows it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ...findings import Finding
from ...render.ladder import Arrow, Ladder, Side, StateMark
from ...render.svg.states import Change
from ...tcp.connection import Connection, Opening
from . import segments
from .content import Download, Listed, Shown


def listed(number: int, connection: Connection, findings: Sequence[Finding]) -> Listed:
    """Its row in the table.  `findings` come worst first."""
    client, server = map(str, connection.addresses)
    first = connection.first_fin or connection.reset_by
    return Listed(
        id=number,
        client=client,
        server=server,
        opening=str(connection.opening),
        ending=str(connection.ending),
        closed_by=first.side if first is not None else "",
        segments=connection.client.packets + connection.server.packets,
        bytes=connection.client.payload_bytes + connection.server.payload_bytes,
        duration_ns=connection.duration_ns,
        severity=str(findings[0].severity) if findings else "",
        codes=tuple(dict.fromkeys(finding.code for finding in findings)),
    )


def shown(
    number: int,
    connection: Connection,
    *,
    story: str,
    findings: Sequence[Finding] = (),
    ladder: Ladder | None = None,
    kernel: Iterable[StateMark] = (),
    end_ns: int = 0,
    remark: str = "",
    command: str = "",
    downloads: Sequence[Download] = (),
) -> Shown:
    """All of it.

    ladder   None where the connection was not tracked with its segments, or has too many
    kernel   both ends' states as the kernel told them
    end_ns   when the capture ended; not before its last segment
    """
    client, server = map(str, connection.addresses)
    table = None
    if ladder is not None:
        frames = (row.frame for row in ladder.rows if isinstance(row, Arrow))
        table = segments.table(connection, frames, ladder.origin_ns)
    return Shown(
        id=number,
        client=client,
        server=server,
        story=story,
        findings=tuple(findings),
        ladder=ladder,
        segments=table,
        states=(*_by_wire(connection), *(Change(*mark) for mark in kernel)),
        end_ns=max(end_ns, connection.last_time_ns),
        remark=remark,
        command=command,
        downloads=tuple(downloads),
    )


def _by_wire(connection: Connection) -> Iterator[Change]:
    """Both ends' states as the segments imply them."""
    sides: tuple[Side, Side] = ("client", "server")
    for side, end in zip(sides, (connection.client, connection.server), strict=True):
        if connection.opening is Opening.MID_STREAM:
            yield Change(connection.start_ns, side, "ESTABLISHED", "wire")
        for transition in end.transitions:
            yield Change(transition.time_ns, side, str(transition.state), "wire")
