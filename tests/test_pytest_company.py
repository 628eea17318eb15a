"""The plugin among others, and in what users make of it: their fixtures, classes, signals and time limits."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from .conftest import ROOT
from .leftovers import marked, nothing_left

BODY = """
    async with tcp_lab() as lab:
        await lab.serve("echo", port=9502)
        client = await lab.connect()
        await client.send(b"hello\\r\\n")
        assert await client.recv_exactly(18) == b"server got:hello\\r\\n"
        client.close()
        await lab.see("client", State.TIME_WAIT)
        await lab.see_gone("server")
    assert lab.experiment.connection.client.state is State.TIME_WAIT
"""
GOOD = "async def test_closes(tcp_lab):" + BODY
IMPORTS = "import asyncio, os, sys, time\nimport pytest\nfrom testbed import State\n"
HANGS = """
async def test_hangs(tcp_lab):
    async with tcp_lab() as lab:
        await lab.serve("echo", process=True)
        await lab.connect()
        open("hanging", "w").close()
        {how}
"""
OURS = ("-p", "no:cacheprovider")
AUTO = ("-o", "asyncio_mode=auto")


@pytest.fixture
def project(pytester: pytest.Pytester, live: None) -> pytest.Pytester:
    """A user's project that has set up nothing for us."""
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    return pytester


def run(project: pytest.Pytester, test: str, *options: str, timeout: float = 100) -> pytest.RunResult:
    """pytest in that project, with this as its tests."""
    project.makepyfile(test_it=IMPORTS + textwrap.dedent(test))
    return project.runpytest_subprocess(*OURS, *options, timeout=timeout)


def kept(project: pytest.Pytester) -> list[str]:
    """The folders of artifacts, in order."""
    folder = project.path / "tcp-artifacts"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# ---------------------------------------------------------------- whose event loop it is

LOOPS = {
    "pytest-asyncio, auto": (GOOD, AUTO),
    "pytest-asyncio, strict": ("@pytest.mark.asyncio\n" + GOOD, ("-o", "asyncio_mode=strict")),
    "pytest-asyncio, one loop for all": (
        '@pytest.mark.asyncio(loop_scope="session")\n' + GOOD,
        ("-o", "asyncio_mode=strict"),
    ),
    "anyio": (
        '@pytest.fixture\ndef anyio_backend():\n    return "asyncio"\n\n@pytest.mark.anyio\n' + GOOD,
        ("-p", "no:asyncio"),
    ),
    "anyio beside pytest-asyncio": (
        '@pytest.fixture\ndef anyio_backend():\n    return "asyncio"\n\n@pytest.mark.anyio\n' + GOOD,
        ("-o", "asyncio_mode=strict"),
    ),
    "no plugin": (
        "def test_closes(tcp_lab):\n    asyncio.run(story(tcp_lab))\n\nasync def story(tcp_lab):" + BODY,
        ("-p", "no:asyncio", "-p", "no:anyio"),
    ),
}


@pytest.mark.parametrize("name", LOOPS)
def test_whoever_runs_the_loop(project: pytest.Pytester, name: str) -> None:
    test, options = LOOPS[name]
    run(project, test, *options).assert_outcomes(passed=1)


def test_on_trio_it_says_what_to_do(project: pytest.Pytester) -> None:
    """anyio's own anyio_backend runs each test on trio too, where trio is."""
    pytest.importorskip("trio")
    result = run(project, "@pytest.mark.anyio\n" + GOOD, "-p", "no:asyncio")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*UsageError: a lab runs in asyncio*anyio_backend return 'asyncio'*"])


# ---------------------------------------------------------------- whose test it is


def test_methods_of_a_class_and_parameters(project: pytest.Pytester) -> None:
    test = """
    @pytest.mark.tcp(mtu=9000)
    class TestServer:
        @pytest.mark.parametrize("ending", ["polite", "linger-zero"])
        @pytest.mark.parametrize("path", ["/a/b", "/a b", "/a-b"])
        async def test_it(self, tcp_lab, ending, path):
            async with tcp_lab() as lab:
                await lab.serve("echo", ending=ending)
                client = await lab.connect()
                client.half_close()
                await lab.see("client", State.TIME_WAIT, timeout=0.5)
    """
    result = run(project, test, *AUTO, "-p", "no:randomly")
    result.assert_outcomes(passed=3, failed=3)
    assert len(kept(project)) == 3
    assert all(name.startswith("test_it.py-TestServer-test_it-") for name in kept(project))


WRAPPED = """
@pytest.fixture
async def lab(tcp_lab):
    async with tcp_lab() as lab:
        await lab.serve("echo", ending="{ending}")
        yield lab
    {after}

async def test_closes(lab, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    client = await lab.connect()
    client.half_close()
    await lab.see("{side}", State.{state}, timeout=0.5)
"""


def test_a_fixture_around_the_lab(project: pytest.Pytester) -> None:
    """The lab is over only when the test is: its ladder is drawn and kept at the teardown."""
    test = WRAPPED.format(ending="never", side="client", state="TIME_WAIT", after="")
    result = run(project, test, *AUTO)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*tcp ladder, drawn at the teardown*", "*missing-fin*", "*test_it.py::test_closes: tcp-artifacts/*"]
    )
    assert kept(project) == ["test_it.py-test_closes"]


def test_a_fixture_that_looks_after_the_lab(project: pytest.Pytester) -> None:
    test = WRAPPED.format(
        ending="never", side="server", state="CLOSE_WAIT", after='lab.experiment.expect("> S 0:0(0)")'
    )
    result = run(project, test, *AUTO)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["E*seen and not expected: < S. 0:0(0) ack 1", "*tcp ladder*"])
    assert kept(project) == ["test_it.py-test_closes"]


def test_a_fixture_around_a_lab_of_a_test_that_passes(project: pytest.Pytester) -> None:
    test = WRAPPED.format(ending="polite", side="client", state="TIME_WAIT", after="")
    run(project, test, *AUTO).assert_outcomes(passed=1)
    assert kept(project) == []


def test_several_labs_in_a_test(project: pytest.Pytester) -> None:
    result = run(project, GOOD + BODY + "    assert False", *AUTO)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*: tcp-artifacts/test_it.py-test_closes/2/ capture.pcap*"])


# ---------------------------------------------------------------- the machine, in a line


def test_what_the_machine_has_is_one_line(project: pytest.Pytester) -> None:
    result = run(project, GOOD, *AUTO)
    (line,) = (line for line in result.outlines if line.startswith("tcp: "))
    assert result.outlines[result.outlines.index(line) - 1] == "collected 1 item"
    assert line.startswith("tcp: tcpdump ")


def test_others_neither_see_nor_pay_for_it(project: pytest.Pytester) -> None:
    test = "def test_nothing():\n    assert not [m for m in sys.modules if m.startswith('testbed.doctor')]"
    result = run(project, "import sys\n" + test)
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("tcp:*")


@pytest.mark.parametrize("require", [False, True])
def test_a_machine_without_tcpdump(
    project: pytest.Pytester, without_tcpdump: list[str], require: bool
) -> None:
    """The skip has the remedy of what is missing; asked for, it is an error before any test has run."""
    project.makepyfile(test_it=IMPORTS + GOOD)
    options = [*OURS, *AUTO, "-rs", *(["--tcp-require=capture"] if require else [])]
    result = project.run(*without_tcpdump, sys.executable, "-m", "pytest", *options, timeout=100)
    if require:
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["ERROR: --tcp-require: capture: *apt-get install tcpdump*"])
    else:
        result.assert_outcomes(skipped=1)
        result.stdout.fnmatch_lines(
            [
                "tcp: tests with a lab are skipped: *apt-get install tcpdump*",
                "SKIPPED*apt-get install tcpdump*",
            ]
        )


# ---------------------------------------------------------------- among other plugins


def test_four_workers_and_a_random_order(project: pytest.Pytester) -> None:
    """Every worker's labs have port 9502 to themselves; what is kept of twelve tests is told once each."""
    tests = "\n".join(GOOD.replace("test_closes", f"test_{n}") for n in range(8))
    fails = "\n".join((GOOD + "    assert False\n").replace("test_closes", f"test_bad_{n}") for n in range(4))
    result = run(project, tests + fails, *AUTO, "-n", "4", "-p", "randomly")
    result.assert_outcomes(passed=8, failed=4)
    told = [line for line in result.outlines if ": tcp-artifacts/" in line]
    assert len(told) == 4
    assert kept(project) == [f"test_it.py-test_bad_{n}" for n in range(4)]
    assert [line for line in result.outlines if line.startswith("tcp: tcpdump ")]


def test_each_attempt_of_a_flaky_test_is_kept(project: pytest.Pytester) -> None:
    test = GOOD + '    assert os.path.exists("tried") or open("tried", "w") is None\n'
    result = run(project, test, *AUTO, "-p", "rerunfailures", "--reruns", "2", "-W", "ignore")
    result.assert_outcomes(passed=1)
    assert "1 rerun" in result.outlines[-1]
    (folder,) = (project.path / "tcp-artifacts").iterdir()
    assert {path.name for path in folder.iterdir()} == {
        "capture.pcap",
        "index.html",
        "ladder.svg",
        "ladder.txt",
    }


def test_the_junit_report_names_what_was_kept(project: pytest.Pytester) -> None:
    run(project, GOOD + "    assert False", *AUTO, "--junitxml=report.xml").assert_outcomes(failed=1)
    named = [
        node.attrib["value"]
        for node in ElementTree.parse(project.path / "report.xml").iter("property")
        if node.attrib["name"] == "tcp_artifact"
    ]
    assert {Path(name).name for name in named} == {"capture.pcap", "index.html", "ladder.svg", "ladder.txt"}
    assert all((project.path / name).is_file() for name in named)


def test_without_a_terminal_reporter(project: pytest.Pytester) -> None:
    result = run(project, GOOD + "    assert False", *AUTO, "-p", "no:terminal")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert kept(project) == ["test_it.py-test_closes"]


def test_the_first_failure_ends_it(project: pytest.Pytester, mark: str) -> None:
    tests = "\n".join((GOOD + "    assert False\n").replace("test_closes", f"test_{n}") for n in range(3))
    result = run(project, tests, *AUTO, "--maxfail=1")
    result.assert_outcomes(failed=1)
    assert len(kept(project)) == 1
    nothing_left(mark)


# ---------------------------------------------------------------- nothing is left


def instances() -> set[str]:
    """The kernel's tracing instances that are ours; root alone may look."""
    folder = Path("/sys/kernel/tracing/instances")
    return {path.name for path in folder.glob("testbed-*")} if os.access(folder, os.R_OK) else set()


def run_to_its_limit(project: pytest.Pytester, how: str, method: str) -> pytest.RunResult:
    """A test that hangs, with a time limit.  Again where the limit was not heard: what a signal raises while
    the event loop is in a callback goes to the loop's exception handler, and no further (asyncio.Handle)."""
    for left in reversed(range(3)):
        try:
            options = ("--timeout=3", f"--timeout-method={method}")
            return run(project, HANGS.format(how=how), *AUTO, *options, timeout=30)
        except pytest.Pytester.TimeoutExpired:
            if not left or method != "signal":
                raise
    raise AssertionError


@pytest.mark.timeout(150)
@pytest.mark.parametrize("how", ["await asyncio.sleep(1000)", "time.sleep(1000)"])
@pytest.mark.parametrize("method", ["signal", "thread"])
def test_a_time_limit_inside_a_lab(project: pytest.Pytester, mark: str, method: str, how: str) -> None:
    """By signal the test fails, with its ladder; by thread pytest itself is ended."""
    result = run_to_its_limit(project, how, method)
    assert (project.path / "hanging").exists()
    nothing_left(mark)
    assert "Timeout" in result.stdout.str() + result.stderr.str()
    if method == "signal":
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(["*tcp ladder*", "*S 0:0(0)*"])
        assert kept(project) == ["test_it.py-test_hangs"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_end_from_outside(project: pytest.Pytester, mark: str, number: signal.Signals) -> None:
    project.makepyfile(test_it=IMPORTS + HANGS.format(how="await asyncio.sleep(1000)"))
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", *OURS, *AUTO],
        cwd=project.path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    )
    deadline = time.monotonic() + 60
    while not (project.path / "hanging").exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    assert len(marked(mark)) > 1  # pytest, tcpdump, the server
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    nothing_left(mark)
    if number is signal.SIGINT:
        assert process.returncode == pytest.ExitCode.INTERRUPTED
        assert "KeyboardInterrupt" in output


# ---------------------------------------------------------------- a user's application

APP = """\
import asyncio
from aiohttp import web

UPSTREAM = web.AppKey("UPSTREAM", tuple)
OPEN = []


async def hello(request):
    return web.Response(text="hello")


async def ask(request):
    reader, writer = await asyncio.open_connection(*request.app[UPSTREAM])
    OPEN.append(writer)
    writer.write(b"hello\\r\\n")
    return web.Response(text=(await reader.readline()).decode())


def make_app(upstream=None):
    app = web.Application()
    app[UPSTREAM] = upstream
    app.add_routes([web.get("/", hello), web.get("/ask", ask)])
    return app
"""
PAGE = (ROOT / "docs" / "pytest.md").read_text(encoding="utf-8")
LEAKS_TEST = """

async def test_the_app_lets_go_of_its_upstream(tcp_lab):
    async with tcp_lab() as lab:
        runner = web.AppRunner(make_app(await lab.serve("echo")))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0]
        async with ClientSession() as session, session.get(f"http://{host}:{port}/ask") as reply:
            assert await reply.text() == "server got:hello\\r\\n"
        try:
            await lab.see_gone("client", timeout=0.5)
        finally:
            await runner.cleanup()
"""


def test_an_aiohttp_application(project: pytest.Pytester) -> None:
    """The whole of a project: an application, its tests (one is docs/pytest.md's), and what pip installed."""
    (example,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    project.makepyfile(app=APP)
    result = run(project, example + LEAKS_TEST, *AUTO)
    result.assert_outcomes(passed=1, failed=1)
    told = "\n".join(line for line in result.outlines if line.startswith("E "))
    opened = next(n for n, line in enumerate(APP.splitlines(), 1) if "open_connection" in line)
    assert "the client's end, in ESTABLISHED, is held in this process:" in told
    assert re.search(rf"app\.py:{opened}: .*opened in ask", told), told
    assert re.search(r"`app\.OPEN\[0\]` keeps it alive", told), told
    assert kept(project) == ["test_it.py-test_the_app_lets_go_of_its_upstream"]
