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
    seconds = sum(case.seconds for case in cases)
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<testsuite name={quoteattr(name)} {_counts(cases)} time="{seconds:.3f}">',
    ]
    for case in cases:
        names = f"classname={quoteattr(case.group)} name={quoteattr(case.name)}"
        head = f'  <testcase {names} time="{case.seconds:.3f}"'
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


def _counts(cases: Sequence[Case]) -> str:
    counts = {"tests": len(cases)}
    for attribute, verdict in (("failures", "fail"), ("errors", "inconclusive"), ("skipped", "skipped")):
        counts[attribute] = sum(case.verdict == verdict for case in cases)
    return " ".join(f'{attribute}="{count}"' for attribute, count in counts.items())


def _text(detail: str) -> str:
    safe = "\n".join(visible(line) for line in detail.splitlines())
    return safe.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
