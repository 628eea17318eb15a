"""Both ends' states along the time: every witness its line, every state its length."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from testbed.render.svg import states
from testbed.render.svg.states import Change

CHANGES = [
    Change(0, "client", "SYN_SENT", "wire"),
    Change(20_000, "client", "ESTABLISHED", "wire"),
    Change(25_000, "client", "ESTABLISHED", "tracepoint"),
    Change(15_000_000_000, "client", "CLOSED", "tracepoint"),
    Change(0, "server", "SYN_RECEIVED", "wire"),
]

changes = st.lists(
    st.builds(
        Change,
        st.integers(-(10**18), 10**18),
        st.sampled_from(["client", "server"]),
        st.sampled_from(["", "SYN_SENT", "ESTABLISHED", "CLOSED"]) | st.text(),
        st.sampled_from(["wire", "tracepoint", "sock_diag", "psutil"]),
    ),
    min_size=1,
)


def told(drawing: str) -> list[str]:
    return [group.attrib["aria-label"] for group in ET.fromstring(drawing).iter("g")]


def test_each_witness_tells_how_long_each_state_lasted() -> None:
    assert told(states.draw(CHANGES, 0, 16_000_000_000)) == [
        "client kernel: ESTABLISHED for 15.0 s (tracepoint)",
        "client wire: SYN_SENT for 20 µs (wire)",
        "client wire: ESTABLISHED for 16.0 s (wire)",
        "server wire: SYN_RECEIVED for 16.0 s (wire)",
    ]


def test_what_nobody_saw_is_blank() -> None:
    lost = [Change(0, "client", "FIN_WAIT_2", "tracepoint"), Change(1_000_000, "client", "", "tracepoint")]
    assert told(states.draw(lost, 0, 10**10)) == ["client kernel: FIN_WAIT_2 for 1.0 ms (tracepoint)"]
    assert states.draw([], 0, 0) == ""


@given(changes, st.integers(-(10**18), 10**18))
def test_it_is_well_formed_and_nothing_lies_outside(some: list[Change], end_ns: int) -> None:
    root = ET.fromstring(states.draw(some, 0, end_ns))
    width, height = (float(root.attrib[name]) for name in ("width", "height"))
    for bar in root.iter("rect"):
        x, y, wide, high = (float(bar.attrib[name]) for name in ("x", "y", "width", "height"))
        assert x >= 0 and y >= 0 and wide >= 0
        assert x + wide <= width + 0.1 and y + high <= height
