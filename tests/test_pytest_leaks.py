"""A user's failing test says which file and line leave the connection open, in the assertion's message.

The user's program is tests/lab/leaky.py under a name of its own; its lines are looked for by what stands in
them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .lab import leaky

PROGRAM = Path(leaky.__file__).read_text(encoding="utf-8")

SERVER = """
import asyncio
import app
from testbed import State

async def test_says_goodbye(tcp_lab):
    async with tcp_lab() as lab:
        server = await asyncio.start_server(app.{handler}, "127.0.0.1", 0)
        lab.at(*server.sockets[0].getsockname())
        client = await lab.connect()
        await client.send(b"hello\\r\\n")
        client.half_close()
        {wait}
    {after}
"""
SEE_GONE = 'await lab.see_gone("server", timeout=0.3)'
SEE = 'await lab.see("client", State.TIME_WAIT, timeout=0.3)'
EXPECT = '''lab.experiment.expect("""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > P. 1:8(7) ack 1
        > F. 8:8(0) ack 1
        < F. 1:1(0) ack 9
    """)'''
POOL = """
import app

async def test_fetches(tcp_lab):
    async with tcp_lab() as lab:
        pool = app.Pool(await lab.serve("echo"))
        assert await pool.fetch(b"hello\\r\\n") == b"server got:hello\\r\\n"
        {drain}
        await lab.see_gone("server", timeout=0.3)
"""


@pytest.fixture
def project(pytester: pytest.Pytester, live: None) -> pytest.Pytester:
    """A user's project, with the program that leaks."""
    pytester.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n")
    pytester.makepyfile(app=PROGRAM)
    return pytester


def line_of(code: str, source: str = PROGRAM) -> int:
    """The number of the one line that begins with `code`."""
    (line,) = (n for n, text in enumerate(source.splitlines(), 1) if text.strip().startswith(code))
    return line


def message_of(project: pytest.Pytester, test: str) -> list[str]:
    """The lines of the assertion's message of the one test of this file, which fails."""
    project.makepyfile(test_app=test)
    result = project.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(failed=1)
    return [line.removeprefix("E").strip() for line in result.outlines if line.startswith("E ")]


LEAKS = {
    "a handler that waits for ever": (
        "waits_for_ever",
        "await gate.wait()",
        "holds it and waits in `await gate.wait()`",
    ),
    "a writer left in a list": (
        "leaves_it_in_a_list",
        "LEFT.append(writer)",
        "leaves_it_in_a_list returned after `LEFT.append(writer)` without closing it",
    ),
    "an exception swallowed before close": (
        "swallows",
        'print("no number")',
        'swallows returned after `print("no number")`, in `except ValueError:`, without closing it',
    ),
}


@pytest.mark.parametrize(("handler", "code", "says"), LEAKS.values(), ids=LEAKS)
def test_the_line_to_change_is_in_the_message(
    project: pytest.Pytester, handler: str, code: str, says: str
) -> None:
    message = message_of(project, SERVER.format(handler=handler, wait=SEE_GONE, after=""))
    assert message[0].startswith(
        "AssertionError: not so that the kernel has no socket of the server any more"
    )
    assert message[1] == "the server's end, in CLOSE_WAIT, is held in this process:"
    where, _, what = message[2].partition(": ")
    assert where == f"app.py:{line_of(code)}"
    assert what.endswith(says)
    assert message[-1] == f"app.py:{line_of(f'async def {handler}')}: accepted by {handler}"


def test_who_keeps_the_writer_alive_is_in_the_message(project: pytest.Pytester) -> None:
    message = message_of(project, SERVER.format(handler="leaves_it_in_a_list", wait=SEE_GONE, after=""))
    assert (
        message[3] == f"app.py:{line_of('LEFT: list')}: `app.LEFT[0]` keeps it alive; `app.LEFT` is a global"
    )


def test_a_pool_that_is_never_drained(project: pytest.Pytester) -> None:
    test = POOL.format(drain="")
    message = message_of(project, test)
    assert message[1] == "the client's end, in ESTABLISHED, is held in this process:"
    opened, kept, owner = message[2:]
    assert opened.startswith(
        f"app.py:{line_of('return await asyncio.open_connection(')}: opened in Pool.connect"
    )
    assert kept == (
        f"test_app.py:{line_of('pool = app.Pool', test.lstrip())}: `pool.idle[0][1]` keeps it alive; "
        "`pool` is a local of test_fetches"
    )
    assert owner == f"app.py:{line_of('self.idle: list')}: it lies in `Pool.idle`"


@pytest.mark.parametrize(
    ("wait", "after"), [(SEE, ""), ('await lab.see("server", State.CLOSE_WAIT)', EXPECT)]
)
def test_every_assertion_about_the_goodbye_says_it(project: pytest.Pytester, wait: str, after: str) -> None:
    message = message_of(project, SERVER.format(handler="leaves_it_in_a_list", wait=wait, after=after))
    assert "the server's end, in CLOSE_WAIT, is held in this process:" in message
    assert any(line.startswith(f"app.py:{line_of('LEFT: list')}: `app.LEFT[0]`") for line in message)


def test_the_finding_says_it_too(project: pytest.Pytester) -> None:
    project.makepyfile(test_app=SERVER.format(handler="waits_for_ever", wait=SEE_GONE, after=""))
    result = project.runpytest_subprocess("-p", "no:cacheprovider")
    where = f"(app.py:{line_of('await gate.wait()')})"
    told = " ".join(result.stdout.str().split())
    finding = told[told.index("missing-fin: ") :]
    assert f"holds it and waits in `await gate.wait()` {where}; accepted by" in finding


@pytest.mark.parametrize(
    "test",
    [
        POOL.format(drain="await pool.drain()"),
        SERVER.format(handler="waits_for_ever", wait="server.close()", after=""),
    ],
    ids=["drained", "nothing asked"],
)
def test_a_test_that_passes_prints_nothing_of_it(project: pytest.Pytester, test: str) -> None:
    project.makepyfile(test_app=test)
    result = project.runpytest_subprocess("-p", "no:cacheprovider", "-rA")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*held in this process*")


def test_a_failure_that_is_no_leak_says_nothing_of_it(project: pytest.Pytester) -> None:
    drained = POOL.format(drain="await pool.drain()") + "    assert 1 == 2\n"
    assert "held" not in "".join(message_of(project, drained))
