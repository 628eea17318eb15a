"""What a check is: a row that can be read, listed and documented, and the function that performs it."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from ..dialogue import Dialogue, dialogue_of
from ..outcome import Outcome
from ..plan import Plan
from ..stage import Stage
from ..survey import Survey

Perform = Callable[[Stage], Awaitable[Outcome]]
Waits = Callable[[Plan, Survey], float]


class Need(enum.Enum):
    """What a check cannot do without; a server or a plan that has it not is told why it was skipped."""

    OWN = "a server that is ours to signal and end"
    REQUEST = "a request that is answered"
    KEEPS = "connections that stay open after a reply"
    UNDER_WAY = "a request that takes a while"
    UPLOAD = "a request with a body"
    STALL = "a request that can be left unfinished"
    LOCAL = "a server whose sockets this machine's kernel has"


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    id        its name
    question  what it answers
    does      what is done to the server
    measures  what is taken down
    passes, warns, fails, informs
              when the verdict is that, and why; "" where it never is
    source    RFC, manual page or documentation that it rests on
    hurts     what a bad verdict does in production
    change    what to change
    perform   does it, and judges
    needs     see `Need`
    waits     seconds it takes beside the server's start, at the longest that is usual
    sysctls   net.ipv4 settings of its network
    cases     what is tried, each with a server and a network of its own: `stage.case`
    """

    id: str
    question: str
    does: str
    measures: str
    passes: str
    warns: str
    fails: str
    informs: str
    source: str
    hurts: str
    change: str
    perform: Perform
    needs: tuple[Need, ...] = ()
    waits: Waits = lambda plan, survey: 1.0
    sysctls: Mapping[str, int | str] = field(default_factory=dict)
    cases: tuple[str, ...] = ("",)


def missing(check: Check, plan: Plan, survey: Survey) -> str:
    """Why the check has nothing to ask of this server; "" when it has."""
    dialogue = dialogue_of(plan, survey.address[0])
    for need in check.needs:
        reason = _LACKS[need](plan, survey, dialogue)
        if reason:
            return reason
    return ""


def _unless(has: bool, reason: str) -> str:
    return "" if has else reason


_LACKS: Final[Mapping[Need, Callable[[Plan, Survey, Dialogue], str]]] = {
    Need.OWN: lambda plan, survey, dialogue: _unless(
        not plan.attached, "attached with --connect: the server is not ours to signal or end"
    ),
    Need.REQUEST: lambda plan, survey, dialogue: _unless(
        survey.reply is not None, f"protocol {plan.protocol}: no request is made"
    ),
    Need.KEEPS: lambda plan, survey, dialogue: _unless(
        survey.keeps, "the server closes after each reply: no connection is ever idle"
    ),
    Need.UNDER_WAY: lambda plan, survey, dialogue: _unless(survey.under_way is not None, survey.no_under_way),
    Need.UPLOAD: lambda plan, survey, dialogue: _unless(
        dialogue.upload is not None, f"protocol {plan.protocol} has no request with a body"
    ),
    Need.STALL: lambda plan, survey, dialogue: _unless(
        dialogue.stalled is not None, f"protocol {plan.protocol}: what half a request is cannot be known"
    ),
    Need.LOCAL: lambda plan, survey, dialogue: _unless(
        survey.processes > 0, "the server's processes cannot be seen from here"
    ),
}
