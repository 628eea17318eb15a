"""Reports of a made-up verification: what is printed by a server is no markup, and no escape sequence."""

from __future__ import annotations

from testbed.verify import report, terminal
from testbed.verify.checks import CHECKS
from testbed.verify.outcome import Outcome, Verdict, together
from testbed.verify.plan import Plan
from testbed.verify.profiles import PROFILES
from testbed.verify.result import Result, Verification
from testbed.verify.survey import Survey

HOSTILE = "it said | \x1b[2J <img src=x> `rm` *b* [l](u)"

PLAN = Plan(command=("server`|", "{port}"), profile=PROFILES["generic"])
DONE = Verification(
    PLAN,
    Survey(("::1", 8000), 0.1, 2),
    (
        Result("close-back", (Outcome(Verdict.PASS, "well"),)),
        Result("rebind", (Outcome(Verdict.FAIL, HOSTILE, frames=(3,)), Outcome(Verdict.PASS, "well"))),
        Result("kill", (Outcome(Verdict.SKIPPED, "no reason"),)),
        Result(
            "half-close",
            (
                together(
                    [
                        Outcome(Verdict.PASS, "in full", frames=(3,), part="a short reply"),
                        Outcome(Verdict.WARN, "nothing", frames=(5,), part="a slow reply"),
                    ]
                ),
            ),
        ),
    ),
    3.0,
)


def test_repeats_that_do_not_agree_say_so() -> None:
    _, varying, *_ = DONE.results
    assert varying.verdict is Verdict.FAIL
    assert varying.what.endswith("(of 2 runs: 1 pass, 1 fail)")


def test_markdown_has_no_markup_of_the_server() -> None:
    text = report.markdown(DONE)
    assert "\x1b" not in text and "<img" not in text.replace("\\<img", "")
    (row,) = [line for line in text.splitlines() if line.startswith("| ") and "rebind" in line]
    assert row.replace("\\|", "").count("|") == 4
    assert "`'server'|' 8000`" in text, "shell quoting, and no backtick of the command's own"


def test_the_terminal_gets_no_escape_sequence() -> None:
    for result in DONE.results:
        for drawn in (terminal.row(result, 80), terminal.details(result, 80)):
            assert "\x1b" not in drawn.plain
            assert max(map(len, drawn.plain.splitlines())) <= 80


def test_the_listing_tells_each_check_in_full() -> None:
    text = terminal.listing(80).plain
    assert max(map(len, text.splitlines())) <= 80
    for check in CHECKS.values():
        assert check.source and check.does and check.measures and check.question.endswith("?")
        assert check.id in text
        if check.warns or check.fails:
            assert check.hurts and check.change, check.id


def test_json_names_the_worst_and_keeps_the_contract() -> None:
    document = report.to_json(DONE)
    assert document["verdict"] == "fail"
    assert document["port"] == 8000 and document["address"] == "::1"
    assert document["checks"][3]["parts"] == [
        {"part": "a short reply", "verdict": "pass", "what": "in full", "frames": [3]},
        {"part": "a slow reply", "verdict": "warn", "what": "nothing", "frames": [5]},
    ]
    assert "parts" not in document["checks"][0], "it has none"
    row = document["checks"][1]
    assert row["frames"] == [3] and row["hurts"] == CHECKS["rebind"].hurts
    assert [repeat["verdict"] for repeat in row["repeats"]] == ["fail", "pass"]
