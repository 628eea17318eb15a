"""Taking what the tracepoints told, for a watch that goes on for days."""

from __future__ import annotations

import time

import pytest

from testbed.errors import CapabilityError
from testbed.kernel.events import Transition
from testbed.kernel.tracepoints import Tracepoints
from testbed.tcp.states import State

from .conftest import PORT, Pair


async def test_what_is_taken_is_forgotten_and_what_is_later_stays(pair: Pair) -> None:
    try:
        async with Tracepoints(ports=[PORT]) as kernel:
            pair.client.close()
            assert pair.server.recv(1) == b""
            await kernel.drain()
            between = time.time_ns()
            pair.server.close()
            await kernel.drain()
            first, second = kernel.take(between), kernel.take(time.time_ns())
            assert kernel.take(time.time_ns()) == []
    except CapabilityError as error:
        pytest.skip(str(error))
    assert State.CLOSE_WAIT in [event.state for event in first if isinstance(event, Transition)]
    assert State.LAST_ACK in [event.state for event in second if isinstance(event, Transition)]
    assert all(event.time_ns <= between for event in first)
    assert all(event.time_ns > between for event in second)
