"""Writes the tables of docs/ from the tables of the program: `ci/tables`; a test keeps them equal.

What stands between the markers is replaced, the rest of the page is left alone.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from graphlib import TopologicalSorter
from pathlib import Path

from testbed.findings import RULES
from testbed.scenarios import SECTIONS, catalogue
from testbed.tcp.states import diagram

from .imports import PACKAGE, ROOT, between_parts, imports_under

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


def checks() -> Iterator[str]:
    """What `testbed verify` checks, and how it stops a server."""
    from testbed.verify.checks import CHECKS
    from testbed.verify.profiles import PROFILES

    yield "## The checks"
    yield ""
    for check in CHECKS.values():
        yield f"### {check.id}"
        yield ""
        yield f"**{check.question}**"
        yield ""
        rows = {
            "does": check.does,
            "measures": check.measures,
            "pass": check.passes,
            "warn": check.warns,
            "fail": check.fails,
            "info": check.informs,
            "why it hurts": check.hurts,
            "what to change": check.change,
            "source": check.source,
        }
        yield "| | |"
        yield "|---|---|"
        yield from (_row(name, text) for name, text in rows.items() if text)
        yield ""
    yield "## The profiles"
    yield ""
    yield "| profile | programs | stop | grace, seconds | |"
    yield "|---|---|---|---|---|"
    for profile in PROFILES.values():
        programs = ", ".join(f"`{name}`" for name in profile.programs)
        yield _row(f"`{profile.name}`", programs, profile.stop.name, f"{profile.grace:g}", profile.note)
    yield ""


def architecture() -> Iterator[str]:
    """The parts of testbed/ by what they import, and the state machine of the TCP part."""
    imports = between_parts(imports_under(PACKAGE, ROOT))
    needs: dict[str, set[str]] = {part: set() for part in _parts()}
    for _, importer, imported in imports:
        if importer in needs and imported in needs:
            needs[importer].add(imported)
    order = list(TopologicalSorter(needs).static_order())
    floors: dict[str, int] = {}
    for part in order:
        floors[part] = 1 + max((floors[below] for below in needs[part]), default=-1)
    yield "```mermaid"
    yield "flowchart TB"
    for floor in sorted(set(floors.values()), reverse=True):
        names = sorted(part for part in needs if floors[part] == floor)
        yield f'    subgraph floor{floor}[" "]'
        yield "        direction LR"
        yield from (f"        {name}" for name in names)
        yield "    end"
    for part in reversed(order):
        for below in sorted(needs[part] - _reached(needs, needs[part])):
            yield f"    {part} --> {below}"
    yield "```"
    yield ""
    yield "| part | what it is | imports |"
    yield "|---|---|---|"
    for part in sorted(needs, key=lambda part: (-floors[part], part)):
        yield _row(f"`{part}`", _first_line(part), ", ".join(sorted(needs[part])))
    yield ""
    yield "## The state machine"
    yield ""
    yield "```mermaid"
    yield from diagram()
    yield "```"
    yield ""


def _parts() -> list[str]:
    """The packages and modules of testbed/ that others may import; errors are everybody's."""
    return sorted(
        path.name.removesuffix(".py")
        for path in PACKAGE.iterdir()
        if path.name not in ("__init__.py", "__main__.py", "_version.py", "errors.py", "servers")
        and (path.suffix == ".py" or (path / "__init__.py").is_file())
    )


def _reached(needs: dict[str, set[str]], parts: set[str]) -> set[str]:
    """What is reached from some of `parts` by one import or more: an arrow to it would say nothing new."""
    below = set().union(*(needs[part] for part in parts))
    return below | _reached(needs, below) if below else below


def _first_line(part: str) -> str:
    file = PACKAGE / f"{part}.py" if (PACKAGE / f"{part}.py").is_file() else PACKAGE / part / "__init__.py"
    words = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return words.partition("\n\n")[0].replace("\n", " ")


def _row(*cells: str) -> str:
    return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"


PAGES: dict[Path, Callable[[], Iterator[str]]] = {
    ROOT / "docs" / "catalogue.md": scenarios,
    ROOT / "docs" / "findings.md": findings,
    ROOT / "docs" / "scan.md": columns,
    ROOT / "docs" / "verify.md": checks,
    ROOT / "docs" / "architecture.md": architecture,
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
