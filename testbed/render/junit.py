"""JUnit XML, as CI systems read it: one case a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from xml.sax.saxutils import quoteattr

from .escape import visible


class Case(NamedTuple):
    """One verdict: pass, warn and info are successes; inconclusive is an error, not a success."""

    group: str
    name: str
    seconds: float
    verdict: str
    why: str
    detail: str = ""


def report(name: str, cases: Sequence[Case]) -> str:
    """The whole document."""
    failures = sum(case.verdict == "fail" for case in cases)
    errors = sum(case.verdict == "inconclusive" for case in cases)
    skipped = sum(case.verdict == "skipped" for case in cases)
    seconds = sum(case.seconds for case in cases)
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<testsuite name={quoteattr(name)} tests="{len(cases)}" failures="{failures}" errors="{errors}" '
        f'skipped="{skipped}" time="{seconds:.3f}">',
    ]
    for case in cases:
        head = f'  <testcase classname={quoteattr(case.group)} name={quoteattr(case.name)} time="{case.seconds:.3f}"'
        element = {"fail": "failure", "inconclusive": "error", "skipped": "skipped"}.get(case.verdict)
        if element is None:
            lines.append(f"{head}/>")
            continue
        text = _text(case.detail)
        lines += [
            f"{head}>",
            f"    <{element} message={quoteattr(visible(case.why))}>{text}</{element}>",
            "  </testcase>",
        ]
    return "\n".join([*lines, "</testsuite>", ""])


def _text(detail: str) -> str:
    safe = "\n".join(visible(line) for line in detail.splitlines())
    return safe.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
