"""The connections that a scan found guilty, explained: their captures are read again for them alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby
from operator import attrgetter

from ..explanation import Explained, Reading
from ..wire.segment import reverse
from .job import source
from .summary import Guilty


def explained(guilty: Iterable[Guilty]) -> Iterator[tuple[str, Explained]]:
    """Each with its capture, capture by capture, as `explain` tells it, with its segments.

    Error handling: as `explain`.
    """
    for file, group in groupby(sorted(guilty, key=attrgetter("file", "id")), attrgetter("file")):
        numbers = {one.first_frame: (one.id, one.flow) for one in group}
        flows = {way for _, flow in numbers.values() for way in (flow, reverse(flow))}
        with source(file) as where_it_lies:
            reading = Reading(where_it_lies, segments=True, flows=flows)
            found = {one.connection.first_frame: one for one in reading}
            for frame, (number, _) in numbers.items():
                yield file, replace(reading.completed(found[frame]), id=number)
