"""Writes the tables of docs/ from the tables of the program: `ci/tables`; a test keeps them equal.

What stands between the markers is replaced, the rest of the page is left alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from testbed.findings import RULES
from testbed.scenarios import SECTIONS, catalogue

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- ci/tables writes this -->", "<!-- until here -->"


def scenarios() -> Iterator[str]:
    """The catalogue, a table for each section."""
    for folder, title in SECTIONS:
        yield f"## {title}"
        yield ""
        yield "| `testbed run` | what is seen | what to take from it | where it is written |"
        yield "|---|---|---|---|"
        for row in catalogue().values():
            if row.section == folder:
                takes = f" ({row.seconds:.0f} s)" if row.seconds >= 5 else ""
                yield _row(f"`{row.name}`{takes}", row.title, row.lesson, row.rfc)
        yield ""


def findings() -> Iterator[str]:
    """The findings, the worst first."""
    yield "| code | | what it means | what to do | source |"
    yield "|---|---|---|---|---|"
    for rule in sorted(RULES, key=lambda rule: rule.severity.rank):
        yield _row(
            f"`{rule.code}`",
            str(rule.severity),
            f"**{rule.title}.** {rule.meaning}",
            rule.remedy,
            rule.rfc,
        )
    yield ""


def columns() -> Iterator[str]:
    """The columns of `testbed scan`'s table."""
    from testbed.scan.columns import COLUMNS

    yield "| column | | what it says |"
    yield "|---|---|---|"
    for column in COLUMNS:
        yield _row(f"`{column.name}`", column.kind, column.meaning)
    yield ""


def _row(*cells: str) -> str:
    return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"


PAGES: dict[Path, Callable[[], Iterator[str]]] = {
    ROOT / "docs" / "catalogue.md": scenarios,
    ROOT / "docs" / "findings.md": findings,
    ROOT / "docs" / "scan.md": columns,
}


def renewed(page: Path) -> str:
    """The page as it should be.  ValueError where its markers are missing."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page}: it needs the markers {BEGIN!r} and {END!r}")
    return "\n".join([before + begin, "", *PAGES[page](), end + after])


def main() -> int:
    """Rewrite what is out of date, and say so."""
    for page in PAGES:
        wanted = renewed(page)
        if page.read_text(encoding="utf-8") != wanted:
            page.write_text(wanted, encoding="utf-8")
            print(f"{page.relative_to(ROOT)}: written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
