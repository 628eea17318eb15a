import pytest

from testbed.findings.phrases import count, duration, frames, listed


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (12_000, "12 microseconds"),
        (43_100_000, "43.1 ms"),
        (15_000_844_000, "15.0 s"),
        (600_000_000_000, "10 min"),
        (7_200_000_000_000, "2.0 h"),
        (-1_000_000_000, "-1.0 s"),
    ],
)
def test_duration(ns: int, text: str) -> None:
    assert duration(ns) == text


def test_lists() -> None:
    assert [listed([]), listed([1]), listed([1, 2]), listed([1, 2, 3])] == ["", "1", "1 and 2", "1, 2 and 3"]
    assert frames([4]) == "frame 4"
    assert frames([11, 12]) == "frames 11 and 12"
    assert frames([1, 2], 42) == "frames 1, 2 and 40 others"
    assert (count(1, "byte"), count(1200, "byte")) == ("1 byte", "1,200 bytes")
