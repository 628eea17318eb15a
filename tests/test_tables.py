"""The tables of docs/ are those of the program."""

from __future__ import annotations

from pathlib import Path

import pytest

from ci.tables import PAGES, renewed
from testbed.findings import RULES
from testbed.scenarios import catalogue


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_it_is_up_to_date(page: Path) -> None:
    assert page.read_text(encoding="utf-8") == renewed(page), "ci/tables writes it anew"


def test_each_row_is_there_once() -> None:
    for page, names in (("catalogue.md", list(catalogue())), ("findings.md", [rule.code for rule in RULES])):
        (path,) = (path for path in PAGES if path.name == page)
        text = path.read_text(encoding="utf-8")
        assert [name for name in names if text.count(f"\n| `{name}`") != 1] == []


def test_a_page_without_markers_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# nothing\n")
    with pytest.raises(ValueError, match="markers"):
        renewed(page)
