"""A private network for the tests of the lab; skipped with the remedy where there is none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from testbed.doctor import examine
from testbed.net.private import PrivateNetwork


@pytest.fixture(scope="session")
def able() -> None:
    missing = [c for c in examine() if c.name in ("capture", "netns") and not c.available]
    if missing:
        pytest.skip(f"{missing[0].name}: {missing[0].detail}; {missing[0].remedy}")


@pytest.fixture
def network(able: None) -> Iterator[PrivateNetwork]:
    with PrivateNetwork() as entered:
        yield entered
