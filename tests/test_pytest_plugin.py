"""The plugin as its users have it: in a pytest run of their own, through pytester."""

from __future__ import annotations

import sys

import pytest

GOOD = """
from testbed import State

async def test_closes(tcp_lab):
    async with tcp_lab() as lab:
        await lab.serve("echo", port=9502)
        client = await lab.connect()
        await client.send(b"hello\\r\\n")
        await client.recv_exactly(18)
        client.close()
        await lab.see("client", State.TIME_WAIT)
        await lab.see_gone("server")
    lab.experiment.expect('''
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > P. 1:8(7) ack 1
        < P. 1:19(18) ack 8
        > F. 8:8(0) ack 19
        < F. 19:19(0) ack 9
        > . 9:9(0) ack 20
    ''')
"""
BAD = GOOD.replace("""serve("echo", port=9502)""", """serve("echo", port=9502, ending="never")""").replace(
    """        await lab.see("client", State.TIME_WAIT)
        await lab.see_gone("server")
""",
    """        await lab.see("server", State.CLOSE_WAIT)
        await lab.see("client", State.FIN_WAIT_2)
""",
)


@pytest.fixture
def project(pytester: pytest.Pytester, live: None) -> pytest.Pytester:
    """A user's project in a folder of its own."""
    pytester.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n")
    return pytester


def test_a_good_server_passes_and_leaves_nothing(project: pytest.Pytester) -> None:
    project.makepyfile(GOOD)
    project.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)
    assert not (project.path / "tcp-artifacts").exists()


def test_a_leak_fails_with_diff_ladder_and_capture(project: pytest.Pytester) -> None:
    project.makepyfile(test_leak=BAD)
    result = project.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*- < F. 19:19(0) ack 9*",
            "*tcp ladder*",
            "*never sent*",
            "*missing-fin*",
            "*TCP captures*",
            "*test_leak.py::test_closes: *tcp-artifacts*",
        ]
    )
    (folder,) = (project.path / "tcp-artifacts").iterdir()
    assert {path.name for path in folder.iterdir()} == {
        "capture.pcap",
        "index.html",
        "ladder.svg",
        "ladder.txt",
    }


def test_a_state_that_never_comes_fails_the_test(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        from testbed import State

        async def test_state(tcp_lab):
            async with tcp_lab() as lab:
                await lab.serve("echo", ending="never")
                client = await lab.connect()
                client.close()
                await lab.see_gone("server", timeout=0.3)
        """
    )
    result = project.runpytest_subprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*not so that the kernel has no socket of the server any more*CLOSE_WAIT*"])


def test_each_of_a_few_connections_is_drawn(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        async def test_state(tcp_lab):
            async with tcp_lab() as lab:
                await lab.serve("echo")
                for count in (1, 2, 3, 4):
                    client = await lab.connect()
                    await client.send(b"x" * count)
                    client.close()
                    await lab.see_gone("server", client=client)
            assert False
        """
    )
    result = project.runpytest_subprocess()
    result.assert_outcomes(failed=1)
    drawn = [f"connection {number} of 4" for number in (1, 2, 3)]
    assert [line for line in result.outlines if line.startswith("connection ")] == drawn
    result.stdout.fnmatch_lines(
        [*(f"*client.send({number} bytes)*" for number in (1, 2, 3)), "And 1 more connection; *"]
    )


def test_pcap_on_keeps_what_passed(project: pytest.Pytester) -> None:
    project.makepyfile(GOOD)
    project.runpytest_subprocess("--pcap=on", "--pcap-dir=kept").assert_outcomes(passed=1)
    (folder,) = (project.path / "kept").iterdir()
    assert (folder / "capture.pcap").stat().st_size > 24


def test_pcap_off_keeps_nothing(project: pytest.Pytester) -> None:
    project.makepyfile(BAD)
    project.runpytest_subprocess("--pcap=off").assert_outcomes(failed=1)
    assert not (project.path / "tcp-artifacts").exists()


def test_workers_of_xdist_use_the_same_port_at_once(project: pytest.Pytester) -> None:
    project.makepyfile(test_one=GOOD, test_two=GOOD, test_three=BAD)
    result = project.runpytest_subprocess("-n", "2", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*test_three.py::test_closes: *tcp-artifacts*"])


MANY = """
import asyncio
import socket
from pathlib import Path
import pytest
from testbed import State

KEPT = []

async def leave(kind, address):
    if kind == "nothing":
        return
    client = socket.create_connection(address)
    if kind == "half-closed":
        client.shutdown(socket.SHUT_WR)
    if kind == "orphan":
        client.close()
    if kind != "garbage":
        KEPT.append(client)

@pytest.mark.parametrize("number", range(10))
@pytest.mark.parametrize("kind", ["nothing", "open", "half-closed", "orphan", "garbage"])
async def test_closes(tcp_lab, kind, number):
    async with tcp_lab() as lab:
        await lab.serve("echo", port=9502)
        client = await lab.connect(port=5000)
        await client.send(b"hello\\r\\n")
        await client.recv_exactly(18)
        client.close()
        await lab.see("client", State.TIME_WAIT)
        await lab.see_gone("server")
        await lab.cut()
        with open("captures", "a") as file:
            file.write(f"{lab.capture.pid}\\n")
        await leave(kind, lab.address)
    assert len(lab.experiment.connections) == 1
    assert lab.experiment.check_capture().verdict == "pass"
    assert lab.experiment.connection.closed_in_order
    assert not lab.experiment.findings
"""


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["one process", "xdist"])
def test_what_a_test_leaves_is_in_no_other_tests_account(
    project: pytest.Pytester, options: tuple[str, ...]
) -> None:
    """All on one four-tuple; where only the kernel keeps something, the next has the same capture."""
    project.makepyfile(MANY)
    project.runpytest_subprocess(*options, "-p", "no:cacheprovider").assert_outcomes(passed=50)
    captures = (project.path / "captures").read_text().split()
    assert len(captures) == 50
    assert len(set(captures)) < 50 - 10


WITNESS = """
from testbed.errors import CapabilityError

async def test_reason(tcp_lab):
    async with tcp_lab() as lab:
        await lab.serve("echo")
    raise CapabilityError("the kernel does not tell why", "run as root")
"""


def test_a_witness_that_is_not_here_is_a_skip_with_the_remedy(project: pytest.Pytester) -> None:
    project.makepyfile(WITNESS)
    result = project.runpytest_subprocess("-rs", "-p", "no:cacheprovider")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*the kernel does not tell why; run as root*"])


def test_a_witness_that_is_required_is_a_failure(project: pytest.Pytester) -> None:
    project.makepyfile(WITNESS)
    project.runpytest_subprocess("--tcp-require=capture", "-p", "no:cacheprovider").assert_outcomes(failed=1)


def test_in_a_project_that_has_servers_of_its_own(project: pytest.Pytester) -> None:
    servers = project.mkpydir("servers")
    (servers / "echo.py").write_text("NAME = 'the project\\'s own'\n")
    project.makepyfile(
        "import servers.echo\n" + GOOD + '\n    assert servers.echo.NAME == "the project\'s own"\n'
    )
    project.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_an_unknown_requirement_is_a_usage_error(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_nothing(): pass")
    result = pytester.runpytest_subprocess("--tcp-require=nonsense")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--tcp-require*nonsense*"])


def test_the_marker_makes_the_lab(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        from pathlib import Path
        import pytest

        @pytest.mark.tcp(sysctls={"tcp_fin_timeout": 7})
        async def test_setting(tcp_lab):
            async with tcp_lab():
                assert Path("/proc/thread-self/net").exists()
                assert Path("/proc/sys/net/ipv4/tcp_fin_timeout").read_text().strip() == "7"
        """
    )
    project.runpytest_subprocess().assert_outcomes(passed=1)


def test_importing_the_plugin_imports_no_more_than_pytest(pytester: pytest.Pytester) -> None:
    """Every pytest run of an environment pays for what its plugins import."""
    before = "import sys, pytest; before = set(sys.modules); import testbed.pytest_plugin; "
    script = before + "print(sorted(m for m in set(sys.modules) - before if not m.startswith('testbed')))"
    result = pytester.run(sys.executable, "-c", script)
    assert result.outlines == ["[]"]
