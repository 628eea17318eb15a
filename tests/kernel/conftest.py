"""A private network around each test that asks for one; skipped where this user can have none."""

from collections.abc import Iterator

import pytest

from testbed.errors import CapabilityError
from testbed.net.private import PrivateNetwork


@pytest.fixture
def network() -> Iterator[PrivateNetwork]:
    private = PrivateNetwork()
    try:
        private.__enter__()
    except CapabilityError as error:
        pytest.skip(str(error))
    try:
        yield private
    finally:
        private.__exit__(None, None, None)
