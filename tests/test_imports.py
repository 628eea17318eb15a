"""The layout is the architecture: imports run one way, and the core is pure."""

from __future__ import annotations

import subprocess
import sys
from graphlib import CycleError, TopologicalSorter

import pytest

from ci.imports import PACKAGE, ROOT, Import, between_parts, imports_of, imports_under, part_of

SERVERS = ROOT / "servers"

# Which part of testbed/ stands on which floor.  An import goes down, or across without going round in a
# circle; never up.  A new part says here where it belongs.
FLOORS: dict[str, int] = {
    "_version": 0,
    "errors": 0,
    "wire": 1,
    "tcp": 2,
    "findings": 3,
    "explanation": 4,
    "report": 5,
    "render": 4,
    "net": 4,
    "capture": 4,
    "kernel": 4,
    "doctor": 5,
    "lab": 5,
    "watch": 5,
    "scan": 5,
    "scenarios": 6,
    "stepper": 6,
    "verify": 6,
    "cli": 7,
    "pytest_plugin": 7,
    "__main__": 8,
}
PURE = ("errors", "wire", "tcp", "findings", "explanation", "render")
IMPURE_MODULES = frozenset(
    {
        "asyncio",
        "click",
        "concurrent",
        "curses",
        "fcntl",
        "multiprocessing",
        "psutil",
        "rich",
        "select",
        "selectors",
        "signal",
        "socket",
        "subprocess",
        "termios",
        "threading",
        "time",
    }
)
# A terminal drawing is made of rich's Text; it is the one pure module that may know it.
EXCEPTIONS = frozenset({("testbed.render.terminal", "rich")})
MAY_USE_SERVERS = frozenset({"lab", "scenarios", "cli", "pytest_plugin"})


@pytest.fixture(scope="module")
def imports() -> list[Import]:
    found = imports_under(PACKAGE, ROOT)
    assert found, "no imports found: is the source where it was?"
    return found


@pytest.mark.parametrize(
    ("source", "importer", "is_package", "expected"),
    [
        ("import a.b, c", "testbed.x", False, ["a.b", "c"]),
        ("from ..errors import Error", "testbed.wire.reader", False, ["testbed.errors.Error"]),
        ("from . import pcap", "testbed.wire", True, ["testbed.wire.pcap"]),
        ("from .pcap import Row", "testbed.wire.decode", False, ["testbed.wire.pcap.Row"]),
        ("def f():\n    from testbed import lab", "testbed.cli.run", False, ["testbed.lab"]),
    ],
)
def test_reads_imports(source: str, importer: str, is_package: bool, expected: list[str]) -> None:
    assert [found.imported for found in imports_of(source, importer, is_package=is_package)] == expected


def test_every_part_has_its_floor() -> None:
    parts = {
        entry.stem
        for entry in PACKAGE.iterdir()
        if (entry.suffix == ".py" or (entry.is_dir() and any(entry.glob("*.py"))))
        and entry.name != "__init__.py"
    }
    assert parts - {"servers"} <= FLOORS.keys(), "a new part of testbed/ names its floor in FLOORS, here"


def test_imports_never_go_up(imports: list[Import]) -> None:
    upward = [
        str(found)
        for found, importer, imported in between_parts(imports)
        if FLOORS[importer] < FLOORS[imported]
    ]
    assert upward == []


def test_parts_do_not_import_in_a_circle(imports: list[Import]) -> None:
    graph: TopologicalSorter[str] = TopologicalSorter()
    for _, importer, imported in between_parts(imports):
        graph.add(importer, imported)
    try:
        graph.prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_core_is_pure(imports: list[Import]) -> None:
    impure = [
        str(found)
        for found in imports
        if part_of(found.importer) in PURE
        and (module := found.imported.split(".")[0]) in IMPURE_MODULES
        and (found.importer, module) not in EXCEPTIONS
    ]
    assert impure == []


def test_only_lab_scenarios_and_doors_use_servers(imports: list[Import]) -> None:
    users = [
        str(found)
        for found in imports
        if found.imported.split(".")[0] == "servers"
        or (part_of(found.imported) == "servers" and part_of(found.importer) not in MAY_USE_SERVERS)
    ]
    assert users == [], "an installed testbed has no top-level package `servers`: testbed.servers is its name"


def test_servers_stand_alone() -> None:
    allowed = sys.stdlib_module_names | {"h11", "servers"}
    strangers = [
        str(found) for found in imports_under(SERVERS, ROOT) if found.imported.split(".")[0] not in allowed
    ]
    assert strangers == []


def test_plugin_costs_a_pytest_run_nothing() -> None:
    """A plugin is imported in every pytest run of its environment: stdlib and pytest only, at its top."""
    program = (
        "import sys, pytest; before = set(sys.modules); import testbed.pytest_plugin\n"
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) - sys.stdlib_module_names == {"testbed"}
