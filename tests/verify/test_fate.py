"""What became of a request on which the server closed, told from the packets."""

from __future__ import annotations

from typing import Any

import pytest

from testbed.verify.checks.arriving import Queued, was_queued
from testbed.verify.fate import Fate, end_of, fate
from testbed.verify.outcome import Outcome, Verdict
from testbed.verify.replies import Reply
from testbed.verify.seen import frames
from tests.tcp.conversation import START_NS

from .test_seen import seen

READ = "> P. 1:5(4) ack 1\n< . 1:1(0) ack 5\n< F. 1:1(0) ack 5"
AS_IT_CLOSES = "> P. 1:5(4) ack 1\n< F. 1:1(0) ack 5"
UNREAD = "> P. 1:5(4) ack 1\n< . 1:1(0) ack 5\n< R. 1:1(0) ack 5"
CLOSED_ON = f"{READ}\n< R. 2:2(0) ack 5"


@pytest.mark.parametrize(
    ("text", "fell", "told"),
    [
        ("> P. 1:5(4) ack 1\n< . 1:1(0) ack 5", Fate.OPEN, ("nothing", ())),
        (
            "< F. 1:1(0) ack 1\n> P. 1:5(4) ack 2\n< R 2:2(0)",
            Fate.TOO_LATE,
            ("FIN and RST behind it", (4, 6)),
        ),
        ("< F. 1:1(0) ack 1", Fate.TOO_LATE, ("FIN", (4,))),
        (READ, Fate.READ, ("FIN", (6,))),
        (UNREAD, Fate.UNREAD, ("RST", (6,))),
        (CLOSED_ON, Fate.CLOSED_ON, ("FIN and RST behind it", (6, 7))),
    ],
)
def test_of_a_request_by_how_it_was_closed_upon(text: str, fell: Fate, told: tuple[str, Any]) -> None:
    connection = seen(text)
    assert fate(connection, 0) is fell
    how, marks = end_of(connection)
    assert (how, frames(*marks)) == told


def test_a_fin_says_nothing_where_bytes_still_lie_there() -> None:
    """shutdown() sends it whatever was read."""
    assert fate(seen(READ), 0, unread=True) is Fate.CLOSED_ON


def judged(text: str, *, reused: bool, reply: Reply | None = None) -> Outcome:
    return was_queued(Queued(seen(text), 0, 4, reply or Reply()), START_NS, "SIGTERM", reused=reused)


@pytest.mark.parametrize(("reused", "verdict"), [(False, Verdict.FAIL), (True, Verdict.WARN)])
def test_what_was_read_and_dropped_is_no_reset_queue(reused: bool, verdict: Verdict) -> None:
    read, unread, closed_on = (judged(text, reused=reused) for text in (READ, UNREAD, CLOSED_ON))
    assert {read.verdict, unread.verdict, closed_on.verdict} == {verdict}
    assert read.what.endswith(
        "drew nothing, then FIN (frame 6) at once after SIGTERM: it was read (no RST), and dropped"
    )
    assert "executed" in read.hurts and "answer what has been read" in read.change
    assert "then RST (frame 6) at once after SIGTERM: it lay unread" in unread.what
    assert "FIN and RST behind it (frames 6, 7) at once after SIGTERM: it lay unread" in closed_on.what
    assert "executed" not in unread.hurts and "answer what" not in unread.change
    assert "accepted connection" in closed_on.change
    assert [
        one.measured[f"{'reused' if reused else 'queued'}_read"] for one in (read, unread, closed_on)
    ] == [
        True,
        False,
        False,
    ]


def test_a_fin_that_acknowledges_is_told_once() -> None:
    outcome = judged(AS_IT_CLOSES, reused=True)
    assert outcome.what.startswith("there before the signal, drew nothing, then FIN (frame 5) ")
    assert outcome.frames == (5,)


def test_a_reply_with_a_reset_on_it_had_been_read() -> None:
    outcome = judged(UNREAD, reused=False, reply=Reply(size=9, complete=True))
    assert outcome.verdict is Verdict.FAIL
    assert "unread" not in outcome.what and outcome.measured["queued_read"]
