"""The catalogue's rows: whole, findable, and their transcripts legal."""

import pytest

from testbed.errors import UsageError
from testbed.findings import RULES
from testbed.scenarios import SECTIONS, Scenario, catalogue, find
from testbed.wire.notation import parse_transcript


@pytest.mark.parametrize("name", catalogue())
def test_row(name: str) -> None:
    row = catalogue()[name]
    assert row.name == name
    assert row.section in dict(SECTIONS)
    assert row.title and row.lesson and row.rfc
    assert row.play.__module__.endswith(name.replace("-", "_"))
    assert set(row.findings) <= {rule.code for rule in RULES}
    assert len(row.transcripts) == row.connections
    assert all(parse_transcript(text) for text in row.transcripts)


def test_an_unknown_name_is_told_its_neighbours() -> None:
    with pytest.raises(UsageError, match="missing-fin"):
        find("mising-fin")


def test_rows_are_scenarios() -> None:
    assert all(isinstance(row, Scenario) for row in catalogue().values())
