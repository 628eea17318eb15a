from hypothesis import given
from hypothesis import strategies as st

from testbed.wire import seq

numbers = st.integers(0, seq.MASK)
steps = st.integers(-(1 << 31), (1 << 31) - 1)


@given(numbers, steps)
def test_distance_undoes_add(start: int, count: int) -> None:
    assert seq.distance(start, seq.add(start, count)) == count


@given(numbers, numbers)
def test_of_two_numbers_one_comes_first(a: int, b: int) -> None:
    # RFC 1982 section 3.2 leaves numbers exactly half the space apart undefined
    if a == b:
        assert not seq.before(a, b) and not seq.after(a, b)
    elif (a - b) & seq.MASK != seq.HALF:
        assert seq.before(a, b) is not seq.before(b, a)
    assert seq.after(a, b) is seq.before(b, a)


@given(numbers, st.integers(1, (1 << 31) - 1))
def test_order_holds_across_the_wrap(start: int, count: int) -> None:
    assert seq.before(start, seq.add(start, count))
    assert seq.after(seq.add(start, count), start)


def test_wrap() -> None:
    assert seq.add(0xFFFF_FFFF, 1) == 0
    assert seq.add(0, -1) == 0xFFFF_FFFF
    assert seq.distance(0xFFFF_FFF0, 0x10) == 0x20
    assert seq.distance(0x10, 0xFFFF_FFF0) == -0x20
    assert seq.before(0xFFFF_FFFF, 0)
