import pytest

from testbed.kernel.sample import SocketSample, Where, is_at, matching, name_of, normal
from testbed.tcp.states import State

SAMPLE = SocketSample(1, ("127.0.0.1", 80), ("127.0.0.1", 4000), State.CLOSE_WAIT, 7, 3, "server", "psutil")


@pytest.mark.parametrize(
    ("host", "same"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::ffff:127.0.0.1", "127.0.0.1"),  # RFC 4291 section 2.5.5.2
        ("::1", "::1"),
        ("0:0:0:0:0:0:0:1", "::1"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_one_spelling(host: str, same: str) -> None:
    assert normal(host, 80) == (same, 80)


@pytest.mark.parametrize(
    ("where", "yes"),
    [
        (None, True),
        (80, True),
        (("127.0.0.1", 80), True),
        (("::ffff:127.0.0.1", 80), True),
        (81, False),
        (("127.0.0.2", 80), False),
    ],
)
def test_where(where: Where, yes: bool) -> None:
    assert is_at(SAMPLE.local, where) is yes
    assert matching([SAMPLE], where, None) == ([SAMPLE] if yes else [])


def test_a_listener_has_no_other_end() -> None:
    assert is_at(None, None)
    assert not is_at(None, 80)


def test_names() -> None:
    assert [name_of(where) for where in (None, 80, ("::1", 80), ("127.0.0.1", 80))] == [
        "*",
        "*:80",
        "[::1]:80",
        "127.0.0.1:80",
    ]
    assert str(SAMPLE) == "127.0.0.1:80 -> 127.0.0.1:4000 CLOSE_WAIT held by server 7, fd 3"
    assert str(SAMPLE._replace(state=None, pid=None)) == "127.0.0.1:80 -> 127.0.0.1:4000 gone"
