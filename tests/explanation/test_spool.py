import pytest

from testbed.explanation.spool import Spool


@pytest.mark.parametrize("in_memory", [0, 5, 1 << 20])  # bytes: all of it on disk, some, none
def test_texts_come_back_in_the_order_of_their_numbers(in_memory: int) -> None:
    with Spool(in_memory) as spool:
        for number in (3, 1, 2):
            spool.put(number, f"text {number} é")
        assert list(spool) == ["text 1 é", "text 2 é", "text 3 é"]
        spool.put(0, "")
        assert list(spool) == ["", "text 1 é", "text 2 é", "text 3 é"]
        assert len(spool) == 4
