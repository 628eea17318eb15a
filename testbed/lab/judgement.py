"""What an experiment is held to, and what came of it: checks by witness, and one verdict.

A check that its witness could not decide is `inconclusive`, which is never a pass.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import NamedTuple


class Verdict(enum.StrEnum):
    """From best to worst; a run's verdict is its worst check's."""

    PASS = "pass"  # noqa: S105 - a verdict, no password
    SKIPPED = "skipped"
    INCONCLUSIVE = "inconclusive"
    FAIL = "fail"


class Check(NamedTuple):
    """One statement that was put to one witness.

    witness    ``wire``, ``kernel``, ``program`` or ``capture``
    statement  what should be so
    verdict    whether it is
    detail     what was seen instead; may have several lines
    """

    witness: str
    statement: str
    verdict: Verdict
    detail: str = ""


def check(witness: str, statement: str, holds: bool, detail: str = "") -> Check:
    """A check that is decided one way or the other."""
    return Check(witness, statement, Verdict.PASS if holds else Verdict.FAIL, "" if holds else detail)


def worst(checks: Iterable[Check]) -> Verdict:
    """The verdict of them all; none at all is inconclusive: nothing was shown.

    A check that was skipped, as this machine has no such witness, does not count beside others.
    """
    order = list(Verdict)
    verdicts = [c.verdict for c in checks]
    asked = [verdict for verdict in verdicts if verdict is not Verdict.SKIPPED]
    return max(asked or verdicts, key=order.index, default=Verdict.INCONCLUSIVE)
