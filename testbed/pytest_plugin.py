"""The pytest plugin: the `tcp_lab` fixture, and a capture and a ladder beside each failing test.

    async def test_server_closes(tcp_lab):
        async with tcp_lab() as lab:
            await lab.serve("echo")             # or lab.at(host, port), for a server of yours
            client = await lab.connect()
            client.close()
            await lab.see_gone("server")
        lab.experiment.expect('''
            > S 0:0(0)
            ...
        ''')

The fixture is a plain function that returns a factory, because pytest-asyncio runs a fixture's
set-up, the test and the tear-down in three tasks; the lab is entered inside the test.

This module is imported by every pytest run of its environment: nothing but pytest and the
standard library at its top.
"""

from __future__ import annotations

import re
import shlex
import sys
import textwrap
import zlib
from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .lab import Lab

MODES = ("off", "on", "retain-on-failure")
NETWORKS = ("shared", "private", "host")
SECTION = "tcp ladder"
WIDTH = 100
MOST_DRAWN = 3
"""Connections of a failing test that are drawn in its report."""

KEPT = "tcp_artifact"
"""The property of a test's report that has the name of a file, or of a folder, which ends in a slash."""

FIXTURES = frozenset({"tcp_lab", "verify_server"})
LABS = pytest.StashKey[list["Lab"]]()
"""Of a test: those of its labs that were entered and of which nothing was told yet."""
FAILED = pytest.StashKey[str]()
"""In what words a phase of a test failed, the first that did; "" while none has."""
SAVED = pytest.StashKey[int]()
"""How many labs of a test were kept until now, those of its earlier attempts too."""
MACHINE = pytest.StashKey[str]()
"""Of a run: what a lab has on this machine."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("tcp", "TCP captures (tcp-testbed)")
    group.addoption(
        "--pcap",
        choices=MODES,
        default="retain-on-failure",
        help="keep the capture and ladder of each tcp_lab test: %(choices)s (default: %(default)s)",
    )
    group.addoption(
        "--pcap-dir",
        default="tcp-artifacts",
        metavar="DIR",
        help="where to keep them, a folder a test (default: %(default)s)",
    )
    group.addoption(
        "--tcp-require",
        default="",
        metavar="NAME,...",
        help="capabilities (see `testbed doctor`) without which the run is an error, not skipped tests",
    )
    group.addoption(
        "--tcp-net",
        choices=NETWORKS,
        default="shared",
        help="a private network and its capture, used by one lab after the other (one with settings gets its "
        "own); a private network for each lab; or the network that pytest runs in (default: %(default)s)",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "tcp(interface='lo', mtu=1500, snaplen=2048, sysctls={...}): how the labs of a test are made",
    )
    required = [name.strip() for name in config.getoption("--tcp-require").split(",") if name.strip()]
    if required and not hasattr(config, "workerinput"):  # once, not in each xdist worker
        _require(required, in_host=config.getoption("--tcp-net") == "host")


def _require(names: Sequence[str], *, in_host: bool) -> None:
    """UsageError where one of them is not there; a capture is meant in the network that labs will be in."""
    from .doctor import NAMES, examine, lab_here

    for name in names:
        if name not in NAMES:
            raise pytest.UsageError(
                f"--tcp-require: no capability called {name!r}; there are: {', '.join(NAMES)}"
            )
    if in_host and "capture" in names:
        here = lab_here(private_network=False)
        if not here.worked:
            raise pytest.UsageError(f"--tcp-require: capture: {here.said}; {here.remedy}")
        names = [name for name in names if name != "capture"] or ["python"]
    for found in examine(names):
        if not found.available:
            raise pytest.UsageError(f"--tcp-require: {found.name}: {found.detail}; {found.remedy}")


# ---------------------------------------------------------------- the machine, in one line


def pytest_report_collectionfinish(config: pytest.Config, items: Sequence[pytest.Item]) -> list[str]:
    """Behind the count of the tests, where one of them uses a fixture of ours; the others pay nothing."""
    return [_machine(config)] if _are_ours(items) else []


def pytest_sessionfinish(session: pytest.Session) -> None:
    """xdist's first worker tells its controller, which has collected nothing, for the summary."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None and session.config.workerinput["workerid"] == "gw0" and _are_ours(session.items):  # type: ignore[attr-defined]
        output["tcp_machine"] = _machine(session.config)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    if told := getattr(node, "workeroutput", {}).get("tcp_machine"):
        node.config.stash[MACHINE] = told


def _are_ours(items: Iterable[pytest.Item]) -> bool:
    return any(not FIXTURES.isdisjoint(getattr(item, "fixturenames", ())) for item in items)


def _machine(config: pytest.Config) -> str:
    from .doctor import lab_here

    here = lab_here(private_network=config.getoption("--tcp-net") != "host")
    if here.worked:
        return f"tcp: {here.said}"
    outcome = "fail" if config.getoption("--tcp-require") else "are skipped"
    return f"tcp: tests with a lab {outcome}: {here.said}; {here.remedy}"


# ---------------------------------------------------------------- the fixtures


@pytest.fixture
def tcp_lab(request: pytest.FixtureRequest) -> Callable[..., Lab]:
    """A factory of labs: ``async with tcp_lab() as lab``.  Its arguments are those of `testbed.Lab`.

    A lab that asks for nothing is in the network that this process's labs share, one after the other; it
    is empty for each.  ``tcp_lab(net="private")`` is a network and a capture of its own.

    A machine that cannot capture skips the test with the remedy; --tcp-require makes it an error.
    """
    from .errors import CapabilityError, UsageError
    from .lab import Lab

    node: pytest.Item = request.node
    labs: list[Lab] = []
    node.stash[LABS] = []  # of this attempt: a test may be run again
    node.stash[FAILED] = ""
    marker = node.get_closest_marker("tcp")
    usual: dict[str, Any] = dict(marker.kwargs) if marker else {}

    class _SkippingLab(Lab):
        async def __aenter__(self) -> Lab:  # type: ignore[override]  # Self is Lab here
            __tracebackhide__ = True
            if not _in_asyncio():
                raise UsageError(
                    "a lab runs in asyncio, and this test does not: with anyio, let the fixture "
                    "anyio_backend return 'asyncio'"
                )
            try:
                await super().__aenter__()
            except CapabilityError as error:
                if node.config.getoption("--tcp-require"):
                    raise
                pytest.skip(str(error))
            node.stash[LABS].append(self)
            return self

        def __repr__(self) -> str:
            return f"<Lab {labs.index(self) + 1} of {node.name}, server {self.address or 'to come'}>"

    class _Factory:
        def __call__(self, **options: Any) -> Lab:
            settings = {**usual, **options}
            labs.append(_SkippingLab(**{"net": _network(node.config, settings), **settings}))
            return labs[-1]

        def __repr__(self) -> str:
            return f"<factory of labs: {len(labs)} made>"

    return _Factory()


def _in_asyncio() -> bool:
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


@pytest.fixture
def verify_server(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """`testbed.verify_server` with each check as a sub-test, where this pytest has them (9.0 and later).

    Captures and ladders are kept as --pcap and --pcap-dir say.  A machine that cannot do it skips the
    test with the remedy; --tcp-require makes it an error.
    """
    import shutil

    from .errors import CapabilityError
    from .verify.testing import verify_server as verify

    config = request.config
    mode = config.getoption("--pcap")
    folder = _folder(request.node)
    try:
        subtests = request.getfixturevalue("subtests")
    except pytest.FixtureLookupError:
        subtests = None

    def verified(command: Any, **options: Any) -> Any:
        options.setdefault("subtests", subtests)
        ours = mode != "off" and "out" not in options
        if ours:
            options["out"] = folder
        kept = True
        try:
            done = verify(command, **options)
            kept = bool(done.failed)
        except CapabilityError as error:
            kept = False
            if config.getoption("--tcp-require"):
                raise
            pytest.skip(str(error))
        finally:
            if ours and mode == "retain-on-failure" and not kept:
                shutil.rmtree(folder, ignore_errors=True)
            elif ours and folder.is_dir():
                request.node.user_properties.append((KEPT, f"{_as_typed(config, folder)}/"))
        return done

    return verified


def _network(config: pytest.Config, settings: dict[str, Any]) -> str:
    """The network of a lab that does not say which: one with settings of its own shares none."""
    asked = config.getoption("--tcp-net")
    if asked == "host":
        return "here"
    return "private" if settings else str(asked)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """What a witness that is not here was asked is a skip with the remedy, or with --tcp-require an error."""
    try:
        yield
    except Exception as error:
        if LABS in item.stash:
            from .errors import CapabilityError

            if isinstance(error, CapabilityError) and not item.config.getoption("--tcp-require"):
                pytest.skip(str(error))
        raise


def pytest_unconfigure() -> None:
    """Leave no tcpdump and no tracing instance behind: an xdist worker may end without its exit handlers."""
    for name in ("testbed.lab.shared", "testbed.kernel.trace_source"):
        if keeping := sys.modules.get(name):
            keeping.release()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell of each lab as soon as it is over: one that a fixture holds is so at the tear-down only."""
    report = yield
    if LABS not in item.stash:
        return report
    item.stash[FAILED] = failed = item.stash[FAILED] or _why(report)
    last = report.when == "teardown"
    labs = item.stash[LABS]
    told = [lab for lab in labs if last or _is_over(lab)]
    if not failed and not last:
        return report  # its tear-down may fail yet
    item.stash[LABS] = [lab for lab in labs if lab not in told]
    mode = item.config.getoption("--pcap")
    for lab in told:
        if failed:
            where = f"{SECTION}, drawn at the teardown" if last else SECTION
            report.sections.append((where, _ladder_of(lab)))
        if mode == "on" or (mode == "retain-on-failure" and failed):
            number = item.stash[SAVED] = item.stash.get(SAVED, 0) + 1
            folder = _folder(item)
            kept = _save(lab, folder if number == 1 else folder / str(number), item, failed or report.outcome)
            item.user_properties += kept
            report.user_properties += kept  # made from the item's before we came
    return report


def _is_over(lab: Lab) -> bool:
    from .errors import ExperimentError

    try:
        return bool(lab.experiment)
    except ExperimentError:
        return False


def _ladder_of(lab: Lab) -> str:
    """The first connections drawn, and in words, a paragraph for each finding."""
    from .errors import Error
    from .render import terminal
    from .render.escape import visible
    from .render.wording import counted

    try:
        experiment = lab.experiment
        if not experiment.connections:
            return "(no ladder: no connection to the server was captured)"
        told = []
        count = len(experiment.connections)
        for number, connection in enumerate(experiment.connections[:MOST_DRAWN], start=1):
            title = f"connection {number} of {count}" if count > 1 else ""
            told.append(terminal.plain(experiment.ladder(title, connection=connection), WIDTH).rstrip())
            for paragraph in experiment.words_on(connection).splitlines():
                told.append(textwrap.fill(visible(paragraph), WIDTH, break_on_hyphens=False))
        if (more := count - MOST_DRAWN) > 0:
            told.append(f"And {counted(more, 'more connection')}; the page and the capture have them all.")
        return "\n\n".join(told)
    except Error as error:
        return f"(no ladder: {error})"


def _why(report: pytest.TestReport) -> str:
    """The first line of a failure; "" where there is none."""
    crash = getattr(report.longrepr, "reprcrash", None)
    return "" if not report.failed else crash.message.partition("\n")[0] if crash else "failed"


def _save(lab: Lab, folder: Path, item: pytest.Item, outcome: str) -> list[tuple[str, object]]:
    """The files that it wrote, as properties of the test."""
    from .errors import Error
    from .lab.pages import About

    try:
        about = About("pytest", shlex.join(("pytest", item.nodeid)), outcome)
        files = lab.experiment.save(folder, item.name, about)
    except (Error, OSError) as error:
        return [(KEPT, f"(nothing kept: {error})")]
    return [(KEPT, _as_typed(item.config, Path(file))) for file in files.values()]


def _folder(item: pytest.Item) -> Path:
    """Where what is kept of a test goes, wherever the test itself has gone."""
    config = item.config
    return config.invocation_params.dir / Path(config.getoption("--pcap-dir"), _folder_name(item.nodeid))


def _as_typed(config: pytest.Config, path: Path) -> str:
    """From the directory that pytest was started in."""
    home = config.invocation_params.dir
    return str(path.relative_to(home) if path.is_relative_to(home) else path)


def _folder_name(nodeid: str) -> str:
    """A folder name that every file system takes and that can be told from its neighbours'."""
    path, _, parameters = nodeid.partition("[")
    plain = "-".join(filter(None, (*re.split("::|/", path), parameters.removesuffix("]"))))
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-.")[-150:]
    return name if name == plain else f"{name}-{zlib.crc32(nodeid.encode()):08x}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """What was kept, a line for each folder; under xdist also what the machine can do."""
    kept: dict[tuple[str, str], list[str]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            for key, value in getattr(report, "user_properties", ()):
                if key == KEPT:
                    folder, slash, name = str(value).rpartition("/")
                    names = kept.setdefault((report.nodeid, folder + slash), [])
                    names += [name] if name and name not in names else []
    machine = config.stash.get(MACHINE, "")
    if kept or machine:
        terminalreporter.section("TCP captures")
    if machine:
        terminalreporter.write_line(machine)
    for (nodeid, folder), names in kept.items():
        terminalreporter.write_line(" ".join([f"{nodeid}:", folder, *names]))
