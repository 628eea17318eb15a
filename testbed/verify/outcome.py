"""What comes of a check: a verdict, in words and figures that a bug report can carry."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any


class Verdict(enum.StrEnum):
    """From best to worst.  ``info`` is a fact without a judgement; ``inconclusive`` is no pass."""

    PASS = "pass"  # noqa: S105 - a verdict, no password
    SKIPPED = "skipped"
    INFO = "info"
    WARN = "warn"
    INCONCLUSIVE = "inconclusive"
    FAIL = "fail"

    @property
    def bad(self) -> bool:
        """Whether it ends the command with status 1."""
        return self in (Verdict.FAIL, Verdict.INCONCLUSIVE)

    @property
    def complains(self) -> bool:
        """Whether it comes with why it hurts and what to change."""
        return self in (Verdict.FAIL, Verdict.WARN)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run of a check showed.

    what      what happened, with frames and times
    hurts     what that does in production; "" leaves the check's own words
    change    what to change; likewise
    measured  figures by name, the unit in the name (seconds unless it says otherwise)
    frames    the packets that `what` rests on, by their numbers in the check's capture
    """

    verdict: Verdict
    what: str
    hurts: str = ""
    change: str = ""
    measured: Mapping[str, Any] = field(default_factory=dict)
    frames: tuple[int, ...] = ()


def together(parts: Sequence[Outcome], **measured: Any) -> Outcome:
    """The outcome of several: the worst verdict, everything that led to it, all figures and frames.

    The words are those of the parts with the worst verdict; where that is no complaint, of all.
    """
    verdict = worst(part.verdict for part in parts)
    telling = [part for part in parts if part.verdict is verdict]
    if verdict in (Verdict.PASS, Verdict.INFO):
        telling += [p for p in parts if p not in telling and p.verdict is not Verdict.SKIPPED]
    figures: dict[str, Any] = dict(measured)
    for part in parts:
        figures.update(part.measured)
    return Outcome(
        verdict,
        "; ".join(dict.fromkeys(part.what for part in telling)),
        next((part.hurts for part in telling if part.hurts), ""),
        next((part.change for part in telling if part.change), ""),
        figures,
        tuple(sorted({frame for part in telling for frame in part.frames})),
    )


def alike(parts: Sequence[Outcome]) -> list[Outcome]:
    """Those with the same verdict and words become one, with all their frames: ``refused (frames 3, 7)``."""
    groups: dict[tuple[Verdict, str], list[Outcome]] = {}
    for part in parts:
        groups.setdefault((part.verdict, part.what), []).append(part)
    merged = []
    for (_, what), same in groups.items():
        numbers = sorted({frame for part in same for frame in part.frames})
        told = f" (frame{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))})" if numbers else ""
        merged.append(replace(same[0], what=what + told, frames=tuple(numbers)))
    return merged


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of them; none at all is inconclusive.  One that was skipped beside others says nothing."""
    order = list(Verdict)
    found = list(verdicts)
    judged = [verdict for verdict in found if verdict is not Verdict.SKIPPED]
    return max(judged or found, key=order.index, default=Verdict.INCONCLUSIVE)


def seconds(value: float) -> str:
    """A duration as a person reads it: ``0.4 ms``, ``43 ms``, ``1.02 s``, ``15 s``, ``2 h 11 min``."""
    if value < 0:
        return f"-{seconds(-value)}"
    if value < 0.00995:
        return f"{value * 1000:.1f} ms"
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    if value < 9.995:
        return f"{value:.2f}".rstrip("0").rstrip(".") + " s"
    if value < 120:
        return f"{value:.1f}".removesuffix(".0") + " s"
    minutes = round(value / 60)
    return (
        f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min".removesuffix(" 0 min")
    )


def plural(count: int, thing: str, things: str = "") -> str:
    """``1 reply``, ``3 replies``."""
    return f"{count} {thing if count == 1 else things or thing + 's'}"
