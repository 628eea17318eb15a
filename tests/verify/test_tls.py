"""TLS: the goodbye is close_notify, then FIN; the packets are records."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from testbed.verify.outcome import Verdict

from . import servers
from .verifying import Found, python, together

pytestmark = [pytest.mark.usefixtures("live"), pytest.mark.timeout(120)]

CHECKS = ("close-back", "client-reset", "idle-timeout", "idle-race")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and its self-signed certificate, in one file."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: apt-get install openssl")
    folder = tmp_path_factory.mktemp("certificate")
    key, signed = folder / "key.pem", folder / "signed.pem"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    subprocess.run(
        ["openssl", *words.split(), "-keyout", key, "-out", signed],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    both = folder / "both.pem"
    both.write_bytes(key.read_bytes() + signed.read_bytes())
    return both


@pytest.fixture(scope="module")
def found(certificate: Path) -> dict[str, Found]:
    """One that says goodbye and one that does not; and one that speaks no TLS though it should."""
    tls = {
        name: python(servers.tls(str(certificate), says_goodbye=says), tls=True, idle=3.0)
        for name, says in (("says goodbye", True), ("just leaves", False))
    }
    plain = {"speaks no TLS": python(servers.SHORT_IDLE, tls=True)}
    return together({name: (plan, CHECKS) for name, plan in (tls | plain).items()})


def test_close_notify_and_then_fin(found: dict[str, Found]) -> None:
    polite = found["says goodbye"]
    assert not polite.problem
    result = polite.results["idle-timeout"]
    assert result.verdict is Verdict.PASS, result.what
    assert result.telling.measured["close_notify"] is True
    assert "FIN (frame" in result.what
    # what the server does with its connections is TCP's, whatever they carry
    for name in ("close-back", "client-reset", "idle-race"):
        assert polite.results[name].verdict is Verdict.PASS, polite.said


def test_fin_without_close_notify_is_told(found: dict[str, Found]) -> None:
    curt = found["just leaves"]
    assert not curt.problem
    result = curt.results["idle-timeout"]
    assert result.verdict is Verdict.WARN, result.what
    assert result.telling.measured["close_notify"] is False
    assert "without TLS's close_notify before it" in result.what
    # a client that does not know yet sends its records all the same
    assert curt.results["idle-race"].verdict is Verdict.PASS, curt.said


def test_one_that_speaks_no_tls_cannot_be_used(found: dict[str, Found]) -> None:
    assert "TargetError: a client could not connect to 127.0.0.1:8000" in found["speaks no TLS"].problem
