import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from testbed.errors import CapabilityError, UsageError
from testbed.net import private
from testbed.net.command import Command, exec_private

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True, scope="module")
def possible() -> None:
    outcome = private.available()
    if not outcome.worked:
        pytest.skip(f"{outcome.said}; {outcome.remedy}")


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("exit 0", 0),
        ("exit 7", 7),
        ("kill -TERM $$", 128 + 15),
        ("kill -KILL $$", 128 + 9),
        ('test "$(grep -c : /proc/net/dev)" = 1', 0),  # lo and nothing else
    ],
)
def test_the_exit_status_is_the_commands(script: str, status: int) -> None:
    assert exec_private(["sh", "-c", script]) == status


def test_the_caller_stays_where_it_was() -> None:
    home, mask = Path("/proc/self/ns/net").readlink(), signal.pthread_sigmask(signal.SIG_BLOCK, [])
    descriptors = set(Path("/proc/self/fd").iterdir())
    exec_private(["true"])
    assert Path("/proc/self/ns/net").readlink() == home
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == mask
    assert set(Path("/proc/self/fd").iterdir()) == descriptors


def test_its_networks_number_is_nobody_elses_while_it_is_ended() -> None:
    """The kernel gives a number out again at once, and what is in that network is killed."""
    with Command(["true"], private.enter_private_network) as command:
        while command.poll(0.1) is None:
            pass
        time.sleep(0.2)  # the kernel puts a network away in its own time
        for _ in range(20):
            with Command(["true"], private.enter_private_network) as other:
                assert other.network != command.network


def test_a_command_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^no-such-command-here: no such command"):
        exec_private(["no-such-command-here"])
    with pytest.raises(UsageError, match="no such command"):
        exec_private([str(tmp_path / "missing")])
    with pytest.raises(UsageError, match="cannot be run: Permission denied"):
        exec_private([str(tmp_path)])
    with pytest.raises(UsageError, match="no command"):
        exec_private([])


def test_no_network_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*, mtu: int) -> None:
        raise CapabilityError("refused", "the remedy")

    monkeypatch.setattr("testbed.net.command.enter_private_network", refuse)
    with pytest.raises(CapabilityError, match="the remedy"):
        exec_private(["true"])


def started(script: str) -> "subprocess.Popen[str]":
    """A process that runs `script` by `exec_private`, once the script has said a line."""
    code = "import sys; from testbed.net.command import exec_private; sys.exit(exec_private(sys.argv[1:]))"
    return subprocess.Popen(
        [sys.executable, "-c", code, "sh", "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        # a run started in a shell's background ignores SIGINT, and so would its children
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
    )


WAITING = "trap 'exit 21' TERM; trap 'exit 22' INT; echo $$; while :; do sleep 0.02; done"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 21), (signal.SIGINT, 22)])
def test_signals_are_handed_on(number: signal.Signals, status: int) -> None:
    with started(WAITING) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        assert process.wait(timeout=30) == status


def test_a_killed_run_takes_its_command_along(tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    script = WAITING.replace("exit 21", f"touch {ended}; exit 21")
    with started(script) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
    deadline = time.monotonic() + 30
    while not ended.exists():  # the command was sent SIGTERM
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_command_starts_with_the_default_signals() -> None:
    # Python ignores SIGPIPE; a program that inherits that writes into a closed pipe for ever
    assert exec_private(["sh", "-c", "kill -PIPE $$; exit 3"]) == 128 + signal.SIGPIPE


def test_what_it_leaves_running_is_ended(tmp_path: Path) -> None:
    assert exec_private(["sh", "-c", f"sleep 600 & echo $! > {tmp_path}/pid; exit 5"]) == 5
    pid = int((tmp_path / "pid").read_text())
    assert not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]
