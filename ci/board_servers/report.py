"""What was found as the page BOARD.md: a table of server by check, and below it what was complained of."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from testbed.verify.checks import CHECKS
from testbed.verify.outcome import Verdict

from .table import Configuration
from .words import plain, steady

BAD = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.WARN)


class Standing(NamedTuple):
    """A configuration with what its rounds found, or why it has none."""

    row: Configuration
    versions: Mapping[str, str]
    reports: Sequence[dict[str, Any]]
    why: str


def page(standings: Sequence[Standing], how: Sequence[str]) -> str:
    """The whole page; `how` says by which command and on what it was made."""
    columns = list(CHECKS)
    rounds = sorted({len(one.reports) for one in standings if one.reports})
    lines = [
        "# The board",
        "",
        "How real servers open, idle and say goodbye, by `testbed verify`; what each check does and when it",
        "passes, `testbed verify --list-checks` says.  No cell ranks a server: much of it is policy, or set",
        "by whoever runs it.  Limits that a server lets one set are set to about three seconds, all else is",
        "as shipped; the configurations are in [board_servers](board_servers/table.py).  After a stop signal",
        "these limits also end, within the grace, connections that the stop alone would leave open.",
        "",
        *(f"- {line}" for line in how),
        f"- {' to '.join(map(str, rounds[:1] + rounds[1:][-1:]))} round{'s' * (rounds != [1])} of each",
        "",
        f"| server | {' | '.join(columns)} |",
        f"|---|{'---|' * len(columns)}",
    ]
    for one in standings:
        cells = [cell(one.reports, check) for check in columns] if one.reports else [""] * len(columns)
        name = f"[{one.row.name}](#{_anchor(one.row.name)})"
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", "`-`: there is nothing to ask of this server; `3/5`: in three of five rounds.", ""]
    for one in standings:
        lines += _told(one)
    return "\n".join(lines).rstrip() + "\n"


def cell(reports: Sequence[dict[str, Any]], check: str) -> str:
    """``pass``; ``fail 1/5, pass 4/5`` where the rounds do not agree."""
    counts = Counter(row["verdict"] for report in reports for row in report["checks"] if row["id"] == check)
    if len(counts) < 2:
        return _shown(next(iter(counts), ""))
    total = sum(counts.values())
    return ", ".join(
        f"{_shown(verdict)} {counts[verdict]}/{total}" for verdict in reversed(Verdict) if counts[verdict]
    )


def _shown(verdict: str) -> str:
    return {"fail": "**fail**", "skipped": "-"}.get(verdict, verdict)


def _told(one: Standing) -> list[str]:
    """The section of one configuration: versions, command, and each complaint with how often it was made."""
    made_of = ", ".join(f"{name} {version}" for name, version in one.versions.items())
    lines = [f"## {one.row.name}", ""]
    if one.why or not one.reports:
        return [*lines, f"Not verified: {one.why}.", ""]
    first = one.reports[0]
    command = one.row.command.replace("{bin}/", "").replace("{python}", "python")
    many = "1 process" if first["processes"] == 1 else f"{first['processes']} processes"
    lines += [f"{made_of}; {many}; stop by {first['signal']}", "", f"    {command}", ""]
    lines += [one.row.note, ""] if one.row.note else []
    told = [line for check in CHECKS for line in _complaints(one.reports, check)]
    return [*lines, *(told or ["Nothing to complain of."]), ""]


def _complaints(reports: Sequence[dict[str, Any]], check: str) -> list[str]:
    """A line for each verdict; a skip where it varies."""
    rows = [row for report in reports for row in report["checks"] if row["id"] == check]
    lines = []
    for verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.WARN, Verdict.SKIPPED):
        same = [row for row in rows if row["verdict"] == verdict]
        if same and (verdict is not Verdict.SKIPPED or len(same) < len(rows)):
            often = f" {len(same)}/{len(rows)}" if len(same) < len(rows) else ""
            lines.append(f"- **{verdict}**{often} {check}: {_escaped(plain(_words(same)))}")
    return lines


def _words(rows: Sequence[dict[str, Any]]) -> str:
    """What rounds with the same verdict say: each thing that was said in the words of the first round that
    said it, and how many of them did where it was not all.

    Where the check has parts, those that were complained of, the worst first.
    """
    heard: dict[tuple[Verdict, str], dict[str, dict[int, str]]] = {}
    for number, row in enumerate(rows):
        said: dict[tuple[Verdict, str], list[str]] = {}
        for part in row.get("parts", ()):
            if part["verdict"] in BAD:
                said.setdefault((Verdict(part["verdict"]), part.get("part", "")), []).append(part["what"])
        if not said or not all(name for _, name in said):
            said = {(Verdict(row["verdict"]), ""): [str(row["what"])]}
        for key, words in said.items():
            told = "; ".join(words)
            heard.setdefault(key, {}).setdefault(steady(told), {})[number] = told
    lines = []
    for verdict, name in sorted(heard, key=lambda key: list(Verdict).index(key[0]), reverse=True):
        for rounds in heard[verdict, name].values():
            lesser = "" if verdict == rows[0]["verdict"] else f"{verdict}: "
            often = f" {len(rounds)}/{len(rows)}" if len(rounds) < len(rows) else ""
            colon = ": " if name or often else ""
            lines.append(f"{lesser}{name}{often}{colon}{next(iter(rounds.values()))}".lstrip())
    return "; ".join(lines)


def _escaped(text: str) -> str:
    """As Markdown shows it."""
    return re.sub(r"([\\`*_\[\]<>|&])", r"\\\1", text)


def _anchor(name: str) -> str:
    """What GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", name.lower()).replace(" ", "-")
