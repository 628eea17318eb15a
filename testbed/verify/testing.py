"""`verify_server`: the whole suite as one call in a test.

def test_goodbye(verify_server):                       # the fixture: each check a sub-test
    verify_server(["uvicorn", "app:app", "--port", "{port}"], slow_path="/slow")

from testbed import verify_server                      # the function: one assertion
verify_server("./server --port {port}", checks=["stop-idle", "stop-in-flight"])
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from .checks import CHECKS, find_check
from .plan import PORT, Plan
from .profiles import find_profile, find_signal, recognise
from .report import told
from .result import Result, Verification
from .verification import verify


class SubTests(Protocol):
    """What the fixture `subtests` of pytest 9 (or of pytest-subtests) is used for."""

    def test(self, msg: str | None = None, **kwargs: Any) -> Any: ...


def verify_server(
    command: str | Sequence[str],
    *,
    subtests: SubTests | None = None,
    checks: Sequence[str] = (),
    warnings_fail: bool = False,
    repeat: int = 1,
    profile: str | None = None,
    stop: str | None = None,
    grace: float | None = None,
    port: int = PORT,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] = ".",
    out: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Verification:
    """Verify a server; Linux only.  Returns what came of it when all went well.

    command        its words, or a line that is split like a shell's; `{port}` is replaced
    subtests       pytest's fixture: each check is then a sub-test
    checks         ids of those to perform; default: all
    warnings_fail  whether `warn` is a failure too
    stop, grace    the signal ("TERM") and the seconds from there to its end
    env, cwd       its environment and directory
    out            where captures, ladders and reports go
    options        any more of `Plan`: path, slow_path, protocol, request, idle, tls ...

    Error handling: without `subtests` AssertionError, with what happened, why it hurts, and what to
    change, for each check that is `fail` or `inconclusive`.  TargetError where the server cannot be started
    or used, UsageError for what cannot be asked, CapabilityError where this machine cannot do it.
    """
    __tracebackhide__ = True
    argv = tuple(shlex.split(command) if isinstance(command, str) else command)
    row = find_profile(profile) if profile else recognise(argv)
    plan = Plan(
        command=argv,
        profile=row,
        port=port,
        stop=find_signal(stop) if stop else row.stop,
        grace=grace or row.grace,
        env=tuple((os.environ if env is None else env).items()),
        cwd=Path(cwd).absolute(),
        out=None if out is None else Path(out).absolute(),
        **options,
    )
    done = verify(plan, [find_check(name) for name in checks] or list(CHECKS.values()), repeat=repeat)
    wrong = [r for r in done.results if r.verdict.bad or (warnings_fail and r.verdict.complains)]
    if subtests is not None:
        _as_subtests(done, wrong, subtests)
    elif wrong:
        raise AssertionError("\n\n".join([f"{done.counts()}: {plan.shown}", *map(spelled, wrong)]))
    return done


def spelled(result: Result) -> str:
    """A result in full, as text."""
    question = CHECKS[result.check].question
    lines = [f"{result.verdict} {result.check}: {question}"]
    return "\n".join([*lines, *(f"  {label}: {text}" for label, text in told(result))])


def _as_subtests(done: Verification, wrong: Sequence[Result], subtests: SubTests) -> None:
    import pytest

    for result in done.results:
        with subtests.test(msg=result.check):
            if result in wrong:
                pytest.fail(spelled(result), pytrace=False)
            if result.verdict == "skipped":
                pytest.skip(result.what)
