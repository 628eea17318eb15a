"""What a user gets who installs testbed: one package, `testbed`, with everything in it that it needs.

The wheel is built as an installer builds it (without fetching anything), installed into an empty folder,
and used from projects that have packages of their own called `servers` and `tests`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from testbed import __version__

ROOT = Path(__file__).resolve().parents[1]


def run(command: Sequence[str | Path], cwd: Path, *, path: Path | None = None) -> str:
    """Run a command to its end, as one that has only `path` on its PYTHONPATH; its stdout."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))
    }
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    done = subprocess.run(
        list(command),
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def build(kind: str, source: Path, into: Path) -> Path:
    """Build a "wheel" or an "sdist" of the tree at `source`; the file."""
    run([sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", into], source)
    (built,) = into.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return built


def files_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def find_uv() -> str | None:
    return shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling", reason="the dependency group `build` is not installed")
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds testbed as an installer leaves it, and nothing else."""
    target = tmp_path_factory.mktemp("installed")
    if uv := find_uv():
        cache = tmp_path_factory.mktemp("cache")
        options = [
            "--offline",
            "--no-deps",
            "--no-config",
            "--cache-dir",
            str(cache),
            "--target",
            str(target),
        ]
        run([uv, "pip", "install", "--quiet", "--python", sys.executable, *options, str(wheel)], target)
    else:  # a pure wheel is installed by unpacking it; only the console scripts are left out
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(target)
    return target


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's project, with a package `servers` and a folder `tests` of its own."""
    (tmp_path / "servers").mkdir()
    (tmp_path / "servers" / "__init__.py").write_text("WHOSE = 'the user'\n")
    (tmp_path / "tests").mkdir()
    return tmp_path


def test_wheel_holds_one_package(wheel: Path) -> None:
    assert {name.split("/")[0] for name in files_in(wheel)} == {
        "testbed",
        f"tcp_testbed-{__version__}.dist-info",
    }


def test_wheel_holds_every_module(wheel: Path) -> None:
    modules = {
        f"testbed/{file.relative_to(ROOT / 'testbed').as_posix()}"
        for file in (ROOT / "testbed").rglob("*.py")
    } | {
        f"testbed/servers/{file.relative_to(ROOT / 'servers').as_posix()}"
        for file in (ROOT / "servers").rglob("*.py")
    }
    parts = {
        f"testbed/{file.relative_to(ROOT / 'testbed').as_posix()}"
        for file in (ROOT / "testbed" / "report" / "page" / "templates").iterdir()
    }
    assert len(parts) > 10 and modules | parts <= files_in(wheel)
    assert "testbed/py.typed" in files_in(wheel)


def test_wheel_holds_files_not_links(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        links = [
            entry.filename for entry in archive.infolist() if entry.external_attr >> 16 & 0o170000 == 0o120000
        ]
        assert links == []
        echo = archive.read("testbed/servers/echo.py")
    assert echo == (ROOT / "servers" / "echo.py").read_bytes()


def test_wheel_carries_licence_and_entry_points(wheel: Path) -> None:
    info = f"tcp_testbed-{__version__}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        assert b"Apache License" in archive.read(f"{info}/licenses/LICENSE")
        entry_points = archive.read(f"{info}/entry_points.txt").decode()
    assert "[console_scripts]\ntestbed = testbed.cli:main\n" in entry_points
    assert "[pytest11]\ntcp_testbed = testbed.pytest_plugin\n" in entry_points


def test_sdist_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    """Through a source distribution too: the link testbed/servers must not be lost in the tar file."""
    sdist = build("sdist", ROOT, tmp_path / "sdist")
    unpacked = tmp_path / "source"
    unpacked.mkdir()
    run(["tar", "-xzf", sdist], unpacked)
    (source,) = unpacked.iterdir()
    assert files_in(build("wheel", source, tmp_path / "rebuilt")) == files_in(wheel)


def test_installed_command_answers(installed: Path, tmp_path: Path) -> None:
    printed = run([sys.executable, "-m", "testbed", "--version"], tmp_path, path=installed)
    assert __version__ in printed


def test_installed_command_writes_a_page(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "call.txt").write_text("19:37:10 IP a.1 > b.80: Flags [S], seq 1, win 9, length 0\n")
    run([sys.executable, "-m", "testbed", "explain", "call.txt", "--out", "out"], tmp_path, path=installed)
    assert "a:1" in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")


def test_users_own_servers_stay_theirs(installed: Path, project: Path) -> None:
    program = (
        "import testbed.servers.echo, servers\n"
        "print(servers.WHOSE)\n"
        "print(testbed.servers.echo.__file__)\n"
        "print(testbed.servers.echo.EchoServer.__module__)"
    )
    whose, where, module = run([sys.executable, "-c", program], project, path=installed).splitlines()
    assert whose == "the user"
    assert Path(where) == installed / "testbed" / "servers" / "echo.py"
    assert module == "testbed.servers.echo"


def test_servers_run_as_programs(installed: Path, project: Path) -> None:
    printed = run(
        [sys.executable, "-W", "error", "-m", "testbed.servers.echo", "--list-endings"],
        project,
        path=installed,
    )
    assert "never" in printed


def test_fixture_works_beside_users_own_servers(installed: Path, project: Path) -> None:
    """The README's example, in a project with packages `servers` and `tests`, from the installed wheel."""
    example = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert example, "the README has lost its example"
    whose = "import servers\nimport testbed.servers\n\nassert servers.WHOSE == 'the user'\n"
    where = f"assert testbed.servers.__file__.startswith({str(installed)!r})\n"
    (project / "tests" / "test_goodbye.py").write_text(f"{whose}{where}{example[1]}")
    pytest_options = ["-rs", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto", "-o", "pythonpath=."]
    printed = run([sys.executable, "-m", "pytest", *pytest_options], project, path=installed)
    if skipped := re.search(r"^SKIPPED .*", printed, re.MULTILINE):
        pytest.skip(skipped[0])
    assert "1 passed" in printed
