"""The model of a ladder diagram: two lanes, and what happened between them, row by row in time.

    told        what it is made of besides a connection: steps, the kernel's states, faults, findings
    model       the rows, and the ladder
    building    the one made of the other
    missing     *ghosts*: segments that should have come and did not
    selection   which segments are shown where not all are

The drawings (`terminal`, `svg`) add nothing to it.
"""

from .building import GAP_NS, STALE_NS, TOGETHER_NS, from_connection
from .missing import missing_fin
from .model import Arrow, Gap, GhostArrow, Ladder, Omitted, Row, StateRow, StepRow, Witness
from .told import Actor, Fault, Found, Ghost, Mark, Side, StateMark, Step, WitnessOfState

__all__ = [
    "GAP_NS",
    "STALE_NS",
    "TOGETHER_NS",
    "Actor",
    "Arrow",
    "Fault",
    "Found",
    "Gap",
    "Ghost",
    "GhostArrow",
    "Ladder",
    "Mark",
    "Omitted",
    "Row",
    "Side",
    "StateMark",
    "StateRow",
    "Step",
    "StepRow",
    "Witness",
    "WitnessOfState",
    "from_connection",
    "missing_fin",
]
