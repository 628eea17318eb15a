"""The report as one page: the summary, and the worst connections with their ladders beside it.

It loads nothing but the ladders of its own folder.  All text passes `escape.visible` and is escaped:
names in a capture are whoever's who sent it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from html import escape
from typing import Final

from ..explanation import Explained
from ..explanation.survey import Survey
from ..findings import Severity, rule
from ..render.escape import visible

MOST: Final = 200
"""Connections on the page; more would make it slow to open."""

STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; --error: #cf222e; --warning: #9a6700; --info: #0969da; }
@media (prefers-color-scheme: dark) { :root { --error: #ff7b72; --warning: #d29922; --info: #58a6ff; } }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; }
table { border-collapse: collapse; }
td { border-bottom: 1px solid var(--line); padding: .2rem .8rem .2rem 0; vertical-align: top; }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
section { border-top: 1px solid var(--line); margin-top: 2rem; }
.error, .warning, .info { font-weight: 600; }
.error { color: var(--error); } .warning { color: var(--warning); } .info { color: var(--info); }
code { font-family: ui-monospace, monospace; } img { max-width: 100%; }
"""


def pieces(survey: Survey, told: Sequence[Explained], files: Collection[str]) -> Iterator[str]:
    """The page.  `told` are the connections it shows, `files` the names of what is in the folder."""
    title = ", ".join(visible(capture.file) for capture in survey.captures)
    yield (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>\n<h1>{escape(title)}</h1>\n"
    )
    for capture in survey.captures:
        yield (
            f"<p>{escape(visible(capture.file))}: {capture.packets:,} packets, "
            f"{capture.tcp_segments:,} of TCP."
            + "".join(f" {_told('warning', 'problem')}: {escape(visible(p))}." for p in capture.problems)
            + "</p>\n"
        )
    yield from _summary(survey)
    for explained in told[:MOST]:
        yield from _connection(explained, files)
    left = survey.chosen - len(told[:MOST])
    if left > 0:
        yield f"<p>{left:,} more connections are in <a href='report.json'>report.json</a>.</p>\n"
    yield "</body></html>\n"


def _summary(survey: Survey) -> Iterator[str]:
    rows = survey.tally.rows()
    endings = ", ".join(f"{count:,} {ending}" for ending, count in rows.endings)
    yield f"<p>{survey.tally.connections:,} connections{': ' if endings else ''}{endings}.</p>\n<table>\n"
    for row in rows.findings:
        known = rule(row.code)
        yield (
            f"<tr><td>{_told(row.severity, row.severity)}</td><td><code>{row.code}</code></td>"
            f"<td>{escape(known.title if known else '')}</td><td class=n>{row.connections:,}</td></tr>\n"
        )
    yield "</table>\n"


def _connection(explained: Explained, files: Collection[str]) -> Iterator[str]:
    number = explained.id
    client, server = map(str, explained.connection.addresses)
    yield (
        f'<section id="connection-{number}"><h2>#{number} {escape(visible(client))} → '
        f"{escape(visible(server))}</h2>\n<p>{escape(visible(explained.story))}</p>\n"
    )
    for finding in explained.findings:
        yield (
            f"<p>{_told(finding.severity, f'{finding.severity} {finding.code}')}: "
            f"{escape(visible(finding.text))}</p>\n"
        )
    if f"connection-{number}.svg" in files:
        alt = f"the ladder of connection {number}"
        yield f'<p><img loading="lazy" src="connection-{number}.svg" alt="{alt}"></p>\n'
    if f"connection-{number}.pcap" in files:
        yield f'<p><a href="connection-{number}.pcap">its packets</a></p>\n'
    yield "</section>\n"


def _told(severity: Severity | str, text: str) -> str:
    return f'<span class="{severity}">{text}</span>'
