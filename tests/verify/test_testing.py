"""`verify_server` in a user's test: the fixture makes each check a sub-test, the function one assertion."""

from __future__ import annotations

import sys

import pytest

USERS = """
import pytest
from testbed import verify_server as function

SERVER = [{python!r}, "-m", "testbed.servers.echo", "--port", "{{port}}", "--ending"]
HOW = dict(protocol="tcp", idle=0.5, grace=2, checks=["close-back", "stop-idle", "early-reply"])


def test_polite(verify_server):
    done = verify_server([*SERVER, "polite"], **HOW)
    assert [str(result.verdict) for result in done.results] == ["pass", "pass", "skipped"]


def test_never(verify_server):
    verify_server([*SERVER, "never"], **HOW)


def test_function():
    with pytest.raises(AssertionError, match="(?s)1 fail.*close-back.*CLOSE_WAIT.*hurts: .*change: "):
        function([*SERVER, "never"], **HOW)
"""


@pytest.mark.timeout(120)
def test_in_a_users_project(pytester: pytest.Pytester, live: None) -> None:
    pytester.makepyfile(USERS.format(python=sys.executable))
    done = pytester.runpytest_subprocess("-rA", "--pcap-dir=kept", "-p", "no:cacheprovider", timeout=100)
    lines = done.stdout.str()
    outcomes = done.parseoutcomes()
    assert outcomes["passed"] == 2
    if pytest.version_tuple >= (9,):
        assert outcomes["failed"] == 2, "the sub-test, and the test that has it"
        assert "SUBFAILED[close-back]" in lines and "SUBFAILED[stop-idle]" not in lines
    assert "CLOSE_WAIT: process" in lines and "change: read until end of file" in lines
    kept = [path.name for path in (pytester.path / "kept").iterdir()]
    assert len(kept) == 1 and "test_never" in kept[0], "the evidence of the one that failed"
