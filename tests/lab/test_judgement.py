"""One verdict of many checks: the worst."""

import pytest

from testbed.lab.judgement import Check, Verdict, check, worst


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ((), Verdict.INCONCLUSIVE),
        ((Verdict.PASS,), Verdict.PASS),
        ((Verdict.PASS, Verdict.INCONCLUSIVE), Verdict.INCONCLUSIVE),
        ((Verdict.INCONCLUSIVE, Verdict.FAIL, Verdict.PASS), Verdict.FAIL),
    ],
)
def test_worst(verdicts: tuple[Verdict, ...], expected: Verdict) -> None:
    assert worst(Check("wire", "it is so", verdict) for verdict in verdicts) is expected


def test_a_check_that_holds_has_no_detail() -> None:
    assert check("wire", "it is so", True, "it was not") == Check("wire", "it is so", Verdict.PASS, "")
    assert check("wire", "it is so", False, "it was not").detail == "it was not"
