"""The command as a user types it: what it says, and the exit status it ends with."""

from __future__ import annotations

import ctypes
import gzip
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.scenarios import catalogue
from testbed.wire.pcap import PcapWriter
from testbed.wire.segment import Packet

from ..report.seen import Seen

ETHERNET = 1


def testbed(*arguments: str, stdin: bytes = b"", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run it in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "testbed", *arguments], input=stdin, capture_output=True, timeout=60, cwd=cwd
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


testbed.__test__ = False  # type: ignore[attr-defined]  # its name begins as pytest's tests do


def one_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Exactly one line on stderr, which has these words; nothing on stdout; no traceback."""
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """A SYN and nothing else, in a valid pcap."""
    ip = bytes.fromhex("4500002800010000400600007f0000017f000001")
    tcp = bytes.fromhex("c754091d0000000a00000000500200ff00000000")
    data = bytes(12) + b"\x08\x00" + ip + tcp
    path = tmp_path / "syn.pcap"
    with path.open("wb") as file:
        PcapWriter(file, ETHERNET).write(Packet(1, 1_700_000_000_000_000_000, ETHERNET, data, len(data)))
    return path


def test_alone_it_says_what_to_try() -> None:
    done = testbed()
    assert done.returncode == 0
    assert "testbed run missing-fin" in done.stdout


def test_version() -> None:
    done = testbed("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("testbed ")


def test_list_names_every_scenario() -> None:
    done = testbed("list")
    assert done.returncode == 0
    assert all(f"  {name} " in done.stdout for name in catalogue())
    document = json.loads(testbed("list", "--json").stdout)
    assert [row["name"] for row in document["scenarios"]] == list(catalogue())


def test_explain_a_syn(capture: Path) -> None:
    done = testbed("explain", "--json", str(capture))
    assert done.returncode == 0
    (connection,) = json.loads(done.stdout)["connections"]
    assert (connection["opening"], connection["ending"]) == ("syn-only", "open")
    assert connection["server"] == "127.0.0.1:2333"


def test_explain_from_stdin_and_gzip(capture: Path, tmp_path: Path) -> None:
    plain = json.loads(testbed("explain", "--json", "-", stdin=capture.read_bytes()).stdout)
    packed = tmp_path / "syn.pcap.gz"
    packed.write_bytes(gzip.compress(capture.read_bytes()))
    unpacked = json.loads(testbed("explain", "--json", str(packed)).stdout)
    assert plain["connections"] == unpacked["connections"] != []


def test_explain_writes_its_reports(capture: Path, tmp_path: Path) -> None:
    """From standard input, which is gone through more than once for them."""
    options = ["--out", "out", "--sarif", "a.sarif", "--junit", "a.xml", "--fail-on", "warning", "--json"]
    done = testbed("explain", "-", *options, stdin=capture.read_bytes(), cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout) == json.loads((tmp_path / "out/report.json").read_text())
    (run,) = json.loads((tmp_path / "a.sarif").read_text())["runs"]
    assert [result["ruleId"] for result in run["results"]] == ["unanswered"]
    assert 'failures="1"' in (tmp_path / "a.xml").read_text()
    assert "the SYN was not answered" in " ".join((tmp_path / "out/report.txt").read_text().split())
    assert capture.read_bytes()[40:] == (tmp_path / "out/connection-1.pcap").read_bytes()[40:]
    assert "S 0:0(0)" in (tmp_path / "out/connection-1.txt").read_text()


def test_a_markdown_summary_is_added_to(capture: Path, tmp_path: Path) -> None:
    """Two commands of a CI job share a page; what a file is called is no markup."""
    hostile = tmp_path / "`a`|b.pcap"
    hostile.write_bytes(capture.read_bytes())
    page = tmp_path / "page.md"
    page.write_text("# before\n")
    for file in (capture, hostile):
        assert testbed("explain", str(file), "--markdown", str(page)).returncode == 0
    before, first, second = page.read_text().split("### ")
    assert before == "# before\n"
    assert first.startswith(f"`testbed explain {capture}`: 1 connection\n")
    assert "`testbed explain " in second and "'a'|b.pcap`: 1 connection\n" in second
    for told in (first, second):
        assert "| ⚠️ warning | unanswered | 1 |" in told
        assert "- ⚠️ **unanswered**: " in told


def test_explain_draws_what_came_from_stdin(capture: Path) -> None:
    done = testbed("explain", "-", stdin=capture.read_bytes())
    assert "-: pcap, ETHERNET, 1 packet, 1 of TCP" in done.stdout
    assert "S 0:0(0)" in done.stdout


@pytest.mark.parametrize("option", ["--out", "--junit", "--sarif", "--markdown"])
def test_explain_says_where_it_cannot_write(capture: Path, option: str) -> None:
    done = testbed("explain", "--json", str(capture), option, "/dev/null/x")
    assert done.returncode == 2
    assert "/dev/null/x" in done.stderr and done.stderr.count("\n") == 1


def test_explain_fail_on(capture: Path) -> None:
    assert testbed("explain", "--fail-on", "error", str(capture)).returncode == 0
    assert testbed("explain", "--fail-on", "warning", str(capture)).returncode == 1


def test_explain_a_code() -> None:
    done = testbed("explain", "--code", "missing-fin")
    assert done.returncode == 0
    assert "RFC" in done.stdout


def test_a_cut_capture_is_explained_as_far_as_it_goes(capture: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(capture.read_bytes() * 1 + b"\0" * 7)
    document = json.loads(testbed("explain", "--json", str(cut)).stdout)
    assert len(document["connections"]) == 1
    assert document["captures"][0]["problems"]


BAD = {
    "no such file": (["explain", "nowhere.pcap"], 2, ["nowhere.pcap", "No such file"]),
    "a folder": (["explain", "."], 2, ["directory"]),
    "an empty file": (["explain", "empty"], 2, ["empty"]),
    "no capture": (["explain", "junk"], 2, ["junk"]),
    "explain what?": (["explain"], 2, ["FILE"]),
    "an unknown finding": (["explain", "--code", "nonsense"], 2, ["nonsense", "missing-fin"]),
    "an unknown scenario": (["run", "mising-fin"], 2, ["mising-fin", "missing-fin"]),
    "run what?": (["run"], 2, ["--all"]),
    "an unknown command": (["nonsense"], 2, ["nonsense"]),
    "an unknown option": (["run", "--nonsense"], 2, ["--nonsense"]),
    "exec what?": (["exec"], 2, ["testbed exec -- CMD"]),
    "step what?": (["step"], 2, ["testbed list"]),
    "exec nothing there": (["exec", "--", "no-such-program"], 2, ["no-such-program"]),
    "an unknown server": (["serve", "gopher"], 2, ["gopher"]),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_usage_is_one_line(name: str, tmp_path: Path) -> None:
    arguments, status, words = BAD[name]
    (tmp_path / "empty").touch()
    (tmp_path / "junk").write_bytes(bytes(range(256)) * 8)
    environment_path = str(Path(__file__).resolve().parents[2])
    done = subprocess.run(
        [sys.executable, "-m", "testbed", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": environment_path},
    )
    assert done.returncode == status, done.stderr
    one_line(done, *words)


@pytest.mark.parametrize("arguments", [["explain"], ["run"], ["list"], ["exec", "--"], ["explain", "--code"]])
def test_an_error_steers_no_terminal(arguments: list[str]) -> None:
    """It names what was given, spelled out: `testbed explain *` meets whatever lies in the folder."""
    done = testbed(*arguments, "x\x1b[2J\u202ey\nz")
    assert done.returncode == 2
    one_line(done, "\\x1b[2J\\u202ey")
    assert done.stderr.removesuffix("\n").isprintable()


def test_a_port_in_use_is_one_line() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        done = testbed("serve", "echo", "--port", str(holder.getsockname()[1]))
    assert done.returncode == 2
    one_line(done, "in use")


def without_capture_rights() -> None:
    """In a child before its exec: CAP_NET_ADMIN and CAP_NET_RAW are gone for good, even for root."""
    libc = ctypes.CDLL(None)
    for capability in (12, 13):
        libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP: root regains them by no exec
    libc.prctl(47, 4, 0, 0, 0)  # PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL: nor does anybody else


def test_no_permission_to_capture_is_exit_3() -> None:
    """Who may not capture is told so, and what to do about it."""
    done = subprocess.run(
        [sys.executable, "-m", "testbed", "run", "refused", "--net", "host"],
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=without_capture_rights,
    )
    assert done.returncode == 3, done.stderr
    one_line(done, "permi")
    assert "setcap" in done.stderr or "sudo" in done.stderr or "root" in done.stderr


def test_the_edges_that_a_run_walked(live: None, tmp_path: Path) -> None:
    """As a table, as JSON and as a picture; what no scenario walked is named too."""
    picture = tmp_path / "edges.svg"
    shown = testbed("run", "refused", "connect-abandoned", "--coverage", "--coverage-svg", str(picture))
    assert shown.returncode == 0, shown.stderr
    lines = {" ".join(line.split()[:5]): line for line in shown.stdout.splitlines()}
    assert "connect-abandoned" in lines["CLOSED send SYN → SYN_SENT"]
    assert "not walked" in lines["CLOSE_WAIT send FIN → LAST_ACK"]
    assert "not in Linux" in lines["LISTEN send SYN → SYN_SENT"]
    assert picture.read_text().startswith("<?xml")
    told = testbed("run", "connect-abandoned", "--coverage", "--json", "--out", str(tmp_path))
    document = json.loads(told.stdout)
    (row,) = (
        r
        for r in document["coverage"]
        if (r["from"], r["event"], r["to"]) == ("CLOSED", "send SYN", "SYN_SENT")
    )
    assert row["standing"] == "walked"
    assert row["wire"] == ["connect-abandoned"]
    assert (tmp_path / "coverage.svg").is_file()
    overview = Seen((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert overview.attributes("href") == ["coverage.svg", "connect-abandoned/index.html"]
    page = Seen((tmp_path / "connect-abandoned" / "index.html").read_text(encoding="utf-8"))
    assert "testbed run connect-abandoned" in page.text and "SYN_SENT" in page.text
    assert "coverage" not in json.loads(testbed("run", "refused", "--json").stdout)


def test_a_picture_that_cannot_be_written(live: None, tmp_path: Path) -> None:
    done = testbed("run", "refused", "--json", "--coverage-svg", str(tmp_path / "no" / "where.svg"))
    assert done.returncode == 2
    one_line(done, "--coverage-svg", "No such file or directory")
