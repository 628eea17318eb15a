"""What comes of a check: a verdict, in words and figures that a bug report can carry."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final


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
    def wrong(self) -> bool:
        """Whether not all was as it should be, as far as it is known."""
        return self.bad or self.complains

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
    part      which part of the check this is, where it has several: ``a slow reply``
    parts     of an outcome that was put together: those it is made of
    """

    verdict: Verdict
    what: str
    hurts: str = ""
    change: str = ""
    measured: Mapping[str, Any] = field(default_factory=dict)
    frames: tuple[int, ...] = ()
    part: str = ""
    parts: tuple[Outcome, ...] = ()

    @property
    def told(self) -> str:
        """What happened, behind the name of its part."""
        return f"{self.part}: {self.what}" if self.part else self.what

    @property
    def leaves(self) -> tuple[Outcome, ...]:
        """Its parts and their parts, each with the whole name of its part; itself where it has none."""
        return tuple(
            replace(leaf, part=", ".join(name for name in (self.part, leaf.part) if name))
            for one in self.parts
            for leaf in one.leaves
        ) or (self,)

    def to_json(self) -> dict[str, Any]:
        """A row of ``parts`` in ``testbed.verify/1``."""
        row = {"verdict": str(self.verdict), "what": self.what, "frames": list(self.frames)}
        return {"part": self.part, **row} if self.part else row


AT_ONCE: Final = 0.1
"""Seconds within which something happens at once: what a busy machine takes for it says nothing."""


def together(parts: Sequence[Outcome], **measured: Any) -> Outcome:
    """The outcome of several: the worst verdict, all figures, and the words of whatever led to it.

    That is each part that is not as it should be, the worst first, and a better one with its own verdict;
    where none is bad, all of them.
    """
    verdict = worst(part.verdict for part in parts)
    telling = (
        [part for part in parts if part.verdict.wrong]
        or [part for part in parts if part.verdict is not Verdict.SKIPPED]
        or list(parts)
    )
    telling.sort(key=lambda part: list(Verdict).index(part.verdict), reverse=True)
    words = (
        f"{part.verdict}: {part.told}" if verdict.wrong and part.verdict is not verdict else part.told
        for part in telling
    )
    figures: dict[str, Any] = dict(measured)
    for part in parts:
        figures.update(part.measured)
    return Outcome(
        verdict,
        "; ".join(dict.fromkeys(words)),
        next((part.hurts for part in telling), ""),
        next((part.change for part in telling), ""),
        figures,
        tuple(sorted({frame for part in telling for frame in part.frames})),
        parts=parts[0].parts if len(parts) == 1 else tuple(parts),
    )


def alike(parts: Sequence[Outcome]) -> list[Outcome]:
    """Those with the same verdict and words become one, with all their frames: ``refused (frames 3, 7)``.

    Where they are not all alike, each says how many it stands for: ``2 of 3 refused``.
    """
    groups: dict[tuple[Verdict, str], list[Outcome]] = {}
    for part in parts:
        groups.setdefault((part.verdict, part.what), []).append(part)
    merged = []
    for (_, what), same in groups.items():
        numbers = sorted({frame for part in same for frame in part.frames})
        told = f" (frame{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))})" if numbers else ""
        share = f"{len(same)} of {len(parts)} " if len(same) < len(parts) else ""
        merged.append(replace(same[0], what=share + what + told, frames=tuple(numbers)))
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


def soon(value: float) -> str:
    """``at once``, ``300 ms``, ``2 s``: what is the same from run to run reads the same."""
    return "at once" if 0 <= value < AT_ONCE else seconds(round(value, 0 if value >= 1 else 1))


def plural(count: int, thing: str, things: str = "") -> str:
    """``1 reply``, ``3 replies``."""
    return f"{count} {thing if count == 1 else things or thing + 's'}"
