"""The JUnit report: well-formed whatever was captured, and nothing inconclusive counted as passed."""

from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from testbed.render.junit import Case, report

VERDICTS = ("pass", "warn", "info", "fail", "inconclusive", "skipped")


def test_each_verdict_has_its_element() -> None:
    suite = ElementTree.fromstring(report("run", [Case("g", v, 1.5, v, "because", "a\nb") for v in VERDICTS]))
    counts = {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "6", "failures": "1", "errors": "1", "skipped": "1"}
    elements = {case.get("name"): [child.tag for child in case] for case in suite}
    assert elements == {
        "pass": [],
        "warn": [],
        "info": [],
        "fail": ["failure"],
        "inconclusive": ["error"],
        "skipped": ["skipped"],
    }
    failure = suite.find("./testcase/failure")
    assert failure is not None
    assert (failure.get("message"), failure.text) == ("because", "a\nb")


@given(st.text(), st.text())
def test_is_well_formed_whatever_it_is_told(why: str, detail: str) -> None:
    ElementTree.fromstring(report("run", [Case("g", "n", 0.0, "fail", why, detail)]))
