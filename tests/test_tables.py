"""The tables of docs/ are those of the program."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ci.imports import PACKAGE, ROOT, between_parts, imports_under
from ci.tables import PAGES, renewed
from testbed.findings import RULES
from testbed.scenarios import catalogue
from testbed.tcp.states import DIRECT, EDGES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_it_is_up_to_date(page: Path) -> None:
    assert page.read_text(encoding="utf-8") == renewed(page), "ci/tables writes it anew"


def test_each_row_is_there_once() -> None:
    for page, names in (("catalogue.md", list(catalogue())), ("findings.md", [rule.code for rule in RULES])):
        (path,) = (path for path in PAGES if path.name == page)
        text = path.read_text(encoding="utf-8")
        assert [name for name in names if text.count(f"\n| `{name}`") != 1] == []


def test_the_arrows_say_what_the_imports_do() -> None:
    """Each is an import, and every import is an arrow or a way along several."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    drawn = set(re.findall(r"^    (\w+) --> (\w+)$", text, re.MULTILINE))
    imports = {(importer, imported) for _, importer, imported in between_parts(imports_under(PACKAGE, ROOT))}
    assert drawn and drawn <= imports
    ways = set(drawn)
    while more := {(a, d) for a, b in ways for c, d in drawn if b == c} - ways:
        ways |= more
    named = {part for arrow in drawn for part in arrow}
    assert {(a, b) for a, b in imports if a in named and b in named} <= ways
    assert {part for arrow in imports for part in arrow} - named <= {
        "errors",
        "__main__",
        "_version",
        "servers",
    }


def test_every_state_and_edge_of_figure_5_is_drawn() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for edge in (*EDGES, DIRECT):
        (arrow,) = re.findall(rf"^    {edge.state} --> {edge.next}: (.*)$", text, re.MULTILINE) or [""]
        assert (str(edge.event) in arrow.split(" / ")) is edge.in_figure_5


def test_a_page_without_markers_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# nothing\n")
    with pytest.raises(ValueError, match="markers"):
        renewed(page)
