"""A verification on a terminal, 80 columns and up: made to be read, and pasted into a bug report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from ..render.escape import clip, visible, wrap
from .checks import CHECKS, Check
from .outcome import Verdict, seconds
from .plan import Plan
from .report import subject, told
from .result import Result, Verification
from .survey import Survey

if TYPE_CHECKING:
    from rich.text import Text

STYLE: Final = {
    Verdict.PASS: "green",
    Verdict.SKIPPED: "dim",
    Verdict.INFO: "cyan",
    Verdict.WARN: "yellow",
    Verdict.INCONCLUSIVE: "magenta",
    Verdict.FAIL: "bold red",
}
WORD: Final = {verdict: str(verdict) for verdict in Verdict} | {Verdict.INCONCLUSIVE: "unclear"}
"""In a column of seven."""

VERDICT_COLUMNS: Final = 9
NAME_COLUMNS: Final = 2 + max(len(name) for name in CHECKS)
LABEL_COLUMNS: Final = 9


def header(plan: Plan, known: Survey, checks: Sequence[Check], about: float, why: str, columns: int) -> Text:
    """What is about to be done, and how long it takes."""
    from rich.text import Text

    facts = Verification(plan, known, (), 0.0)
    text = Text(no_wrap=True)
    _paragraph(text, visible(plan.shown), columns, "bold")
    _paragraph(text, ", ".join(visible(fact) for fact in subject(facts)), columns, "")
    stop = (
        "no signals: attached" if plan.attached else f"stop by {plan.stop.name}, grace {seconds(plan.grace)}"
    )
    if plan.profile.name != "generic" and not plan.attached:
        stop += f" (profile {plan.profile.name})"
    many = f"{len(checks)} checks" if len(checks) != 1 else "1 check"
    _paragraph(text, f"{stop}; {many}, about {seconds(round(about))}{why}", columns, "")
    return text


def row(result: Result, columns: int, *, whole: bool = True) -> Text:
    """One check: in a line; in as many as it takes where nothing more is said of it below."""
    from rich.text import Text

    verdict = result.verdict
    room = columns - VERDICT_COLUMNS - NAME_COLUMNS
    told_below = verdict.bad or verdict.complains
    words = visible(result.what)
    first, *rest = wrap(words, room) if whole and not told_below else [clip(words, room)]
    style = "dim" if verdict is Verdict.SKIPPED else ""
    text = Text.assemble(
        (f"{WORD[verdict]:{VERDICT_COLUMNS}}", STYLE[verdict]),
        (f"{result.check:{NAME_COLUMNS}}", "bold" if told_below else ""),
        (first, style),
    )
    for line in rest:
        text.append(f"\n{'':{VERDICT_COLUMNS + NAME_COLUMNS}}{line}", style)
    return text


def waiting(check: Check, began: Mapping[str, float], now: float, about: float, columns: int) -> Text:
    """One check that has no result yet."""
    from rich.text import Text

    since = began.get(check.id)
    if since is None:
        state = "waits for its turn"
    else:
        left = about - (now - since)
        state = f"{left:3.0f} s left" if left > 0 else "a moment more"
    line = f"{'...' if since is not None else '':{VERDICT_COLUMNS}}{check.id:{NAME_COLUMNS}}"
    return Text(line + clip(f"{state}: {check.question}", columns - len(line)), "dim")


def details(result: Result, columns: int) -> Text:
    """One check in full: the question, what happened, why it hurts, what to change."""
    from rich.text import Text

    check, verdict = CHECKS[result.check], result.verdict
    text = Text(no_wrap=True)
    text.append(f"{WORD[verdict]:{VERDICT_COLUMNS}}", STYLE[verdict])
    text.append(f"{check.id}: ", "bold")
    room = columns - VERDICT_COLUMNS
    first, *rest = wrap(f"{check.id}: {check.question}", room)
    text.append(first.removeprefix(f"{check.id}: ") + "\n", "bold")
    for line in rest:
        text.append(f"{'':{VERDICT_COLUMNS}}{line}\n", "bold")
    for label, words in told(result):
        for number, line in enumerate(wrap(visible(words), room - LABEL_COLUMNS)):
            text.append(f"{'':{VERDICT_COLUMNS}}{label if not number else '':{LABEL_COLUMNS}}", "dim")
            text.append(line + "\n", "" if label in ("what", "hurts", "change") else "dim")
    return text


def closing_line(done: Verification) -> Text:
    """The counts, and the time it took."""
    from rich.text import Text

    return Text.assemble(
        (WORD[done.verdict], STYLE[done.verdict]), f": {done.counts()} in {seconds(done.seconds)}"
    )


def listing(columns: int) -> Text:
    """The table of checks: `--list-checks`."""
    from rich.text import Text

    text = Text(no_wrap=True)
    for check in CHECKS.values():
        for number, line in enumerate(wrap(f"{check.id}: {check.question}", columns - 2)):
            text.append(("  " if number else "") + line + "\n", "bold")
        rows = (
            ("does", check.does),
            ("measures", check.measures),
            ("pass", check.passes),
            ("warn", check.warns),
            ("fail", check.fails),
            ("info", check.informs),
            ("source", check.source),
            ("hurts", check.hurts),
            ("change", check.change),
        )
        for label, words in rows:
            for number, line in enumerate(wrap(words, columns - 11) if words else ()):
                text.append(f"  {label if not number else '':9}", "dim")
                text.append(line + "\n")
        text.append("\n")
    text.rstrip()
    return text


def _paragraph(text: Text, words: str, columns: int, style: str) -> None:
    for number, line in enumerate(wrap(words, columns - 2)):
        text.append(("  " if number else "") + line + "\n", style)
