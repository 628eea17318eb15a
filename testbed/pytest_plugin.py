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
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .lab import Lab

MODES = ("off", "on", "retain-on-failure")
NETWORKS = ("shared", "private", "host")
SECTION = "tcp ladder"
KEPT = "tcp_artifacts"
LABS = pytest.StashKey[list["Lab"]]()
EXEC_REMEDY = (
    "run the tests with `testbed exec -- pytest ...`, as root, "
    "or with --tcp-net=host where tcpdump may capture"
)


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
        _require(required)


def _require(names: list[str]) -> None:
    from .doctor import examine

    found = {capability.name: capability for capability in examine()}
    for name in names:
        if name not in found:
            raise pytest.UsageError(
                f"--tcp-require: no capability called {name!r}; there are: {', '.join(found)}"
            )
        if not found[name].available:
            raise pytest.UsageError(f"--tcp-require: {name}: {found[name].detail}; {found[name].remedy}")


@pytest.fixture
def tcp_lab(request: pytest.FixtureRequest) -> Callable[..., Lab]:
    """A factory of labs: ``async with tcp_lab() as lab``.  Its arguments are those of `testbed.Lab`.

    A lab that asks for nothing is in the network that this process's labs share, one after the other; it
    is empty for each.  ``tcp_lab(net="private")`` is a network and a capture of its own.

    A machine that cannot capture skips the test with the remedy; --tcp-require makes it an error.
    """
    from .errors import CapabilityError
    from .lab import Lab

    node: pytest.Item = request.node
    labs: list[Lab] = node.stash.setdefault(LABS, [])
    marker = node.get_closest_marker("tcp")
    usual: dict[str, Any] = dict(marker.kwargs) if marker else {}

    class _SkippingLab(Lab):
        async def __aenter__(self) -> Lab:  # type: ignore[override]  # Self is Lab here
            try:
                return await super().__aenter__()
            except CapabilityError as error:
                if node.config.getoption("--tcp-require"):
                    raise
                remedy = EXEC_REMEDY if self.net in ("private", "shared") else error.remedy
                pytest.skip(f"{error.what}; {remedy}")

    def make(**options: Any) -> Lab:
        settings = {**usual, **options}
        lab = _SkippingLab(**{"net": _network(node.config, settings), **settings})
        labs.append(lab)
        return lab

    return make


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
    folder = Path(config.getoption("--pcap-dir")) / _folder_name(request.node.nodeid)
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
        if item.stash.get(LABS, None):
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
    report = yield
    labs = item.stash.get(LABS, [])
    if report.when != "call" or not labs:
        return report
    mode = item.config.getoption("--pcap")
    if report.failed:
        for lab in labs:
            drawn = _ladder_of(lab)
            if drawn:
                report.sections.append((SECTION, drawn))
    if mode == "on" or (mode == "retain-on-failure" and report.failed):
        folder = Path(item.config.getoption("--pcap-dir")) / _folder_name(item.nodeid)
        for number, lab in enumerate(labs, start=1):
            kept = _save(lab, folder if len(labs) == 1 else folder / str(number), item, report)
            if kept:
                report.user_properties.append((KEPT, kept))
    return report


def _ladder_of(lab: Lab) -> str:
    from .errors import Error
    from .render import terminal

    try:
        experiment = lab.experiment
        return (
            terminal.plain(experiment.ladder(), 100) + "\n\n" + experiment.words
            if experiment.connections
            else ""
        )
    except Error as error:
        return f"(no ladder: {error})"


def _save(lab: Lab, folder: Path, item: pytest.Item, report: pytest.TestReport) -> str:
    from .errors import Error
    from .lab.pages import About

    crash = getattr(report.longrepr, "reprcrash", None)
    why = crash.message.partition("\n")[0] if report.failed and crash else ""
    try:
        about = About("pytest", shlex.join(("pytest", item.nodeid)), why or report.outcome)
        lab.experiment.save(folder, item.name, about)
    except (Error, OSError) as error:
        return f"(nothing kept: {error})"
    return str(folder)


def _folder_name(nodeid: str) -> str:
    """A folder name that every file system takes and that can be told from its neighbours'."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", nodeid).strip("-.")[-150:]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    kept = [
        (report.nodeid, value)
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "call"
        for key, value in report.user_properties
        if key == KEPT
    ]
    if kept:
        terminalreporter.section("TCP captures")
        for nodeid, folder in kept:
            terminalreporter.write_line(f"{nodeid}: {folder}")
