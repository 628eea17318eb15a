"""What was wrong with a connection, and why: rules over what `testbed.tcp` saw.

    Connection + Evidence --(rules.judge)--> [Finding]  --(words.describe)--> a paragraph

    table           what a finding, a rule and the evidence are
    rules           the table of all rules, in order of weight
    signs           which of them have to look closer
    rules_close     FIN and RST
    rules_open      SYN
    rules_transfer  probes, losses, windows
    rules_kernel    queues, timers and holders, where the kernel's tables were seen
    rules_capture   what the capture itself lacks
    words           the paragraph

Nothing here reads a clock, a file or the network.
"""

from .rules import RULES, judge, rule, with_flaw
from .rules_capture import flaw_of
from .table import Clue, Evidence, Finding, Holder, KernelReading, Rule, Severity
from .words import describe

__all__ = [
    "RULES",
    "Clue",
    "Evidence",
    "Finding",
    "Holder",
    "KernelReading",
    "Rule",
    "Severity",
    "describe",
    "flaw_of",
    "judge",
    "rule",
    "with_flaw",
]
