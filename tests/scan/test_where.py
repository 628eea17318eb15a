from __future__ import annotations

import pytest

from testbed.errors import UsageError
from testbed.scan import where
from testbed.scan.columns import Rows
from testbed.scan.passing import Pass
from testbed.scan.verdicts import Verdicts
from testbed.wire.reader import open_capture
from testbed.wire.segment import reverse

from ..tcp.conversation import CLIENT, HANDSHAKE, segments
from .differential import pcap

TEXTS = (
    HANDSHAKE + "> F. 1:1(0) ack 1\n< . 1:1(0) ack 2\n+5\n< . 0:0(0) ack 2",
    HANDSHAKE + "> P. 1:11(10) ack 1\n< R. 1:1(0) ack 11",
    "> S 0:0(0)\n+1\n> S 0:0(0)",
)
"""One half-closed by its client and with a missing FIN, one reset by its server, one unanswered."""


def chosen(expression: str) -> list[int]:
    """The numbers of those of the three that a filter lets through."""
    rows = []
    for number, text in enumerate(TEXTS):
        flow = CLIENT[:8] + (50_000 + number).to_bytes(2, "big") + CLIENT[10:]
        ways = {CLIENT: flow, reverse(CLIENT): reverse(flow)}
        rows += [row._replace(flow=ways[row.flow]) for row in segments(text)]
    wanted, verdicts, found = where.parse(expression), Verdicts(), list[int]()

    def take(kept: Rows) -> None:
        found.extend(kept.chosen(wanted(kept)).batch.of["number"].tolist())

    import io

    with open_capture(io.BytesIO(pcap(rows))) as capture:
        for _ in Pass(capture, verdicts, lambda b, p: take(Rows("x", b, verdicts.known, p))).pieces():
            pass
    return sorted(found)


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("ending == 'half-closed' and first_fin == 'client'", [1]),
        ("ending != 'half-closed'", [2, 3]),
        ("'missing-fin' in findings", [1]),
        ("'missing-fin' not in findings", [2, 3]),
        ("'reset' in findings or 'unanswered' in findings", [2, 3]),
        ("not ending == 'reset'", [1, 3]),
        ("reset_by == None", [1, 3]),
        ("reset_by is not None", [2]),
        ("client_port in (50001, 50002)", [2, 3]),
        ("client_port not in [50001]", [1, 3]),
        ("0 < client_bytes <= 10", [2]),
        ("client_bytes > server_bytes", [2]),
        ("handshake_ns == None", [3]),
        ("handshake_ns > 0", [1, 2]),
        ("handshake_ns < 1", []),
        ("client == '10.0.0.1'", [1, 2, 3]),
        ("server in ('10.0.0.1', '10.0.0.9')", []),
        ("(ending == 'reset' or ending == 'open') and severity == 'warning'", [2, 3]),
        ("close_segments == 3", []),
        ("close_segments < 4", []),
        ("closed_by == first_fin and first_fin != None", [1]),
        ("duration_ns >= -1", [1, 2, 3]),
        ("True", [1, 2, 3]),
    ],
)
def test_what_is_let_through(expression: str, wanted: list[int]) -> None:
    assert chosen(expression) == wanted


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("", "invalid syntax"),
        ("ending ==", "invalid syntax"),
        ("end == 'reset'", "there is no column 'end'; there are: file, id"),
        ("__import__('os').system('true') == 0", "neither a column nor a value"),
        ("ending.upper() == 'RESET'", "neither a column nor a value"),
        ("(lambda: 1)() == 1", "neither a column nor a value"),
        ("[x for x in findings] == 1", "neither a column nor a value"),
        ("client_bytes + 1 == 2", "neither a column nor a value"),
        ("f'{ending}' == 'reset'", "neither a column nor a value"),
        ("ending", "is no condition"),
        ("1 == 1", "one side of a comparison is to be a column"),
        ("ending > 'a'", "only numbers are less or greater"),
        ("ending == 3", "a word is compared with a number"),
        ("client_port == '80'", "a number is compared with a word"),
        ("'reset' in ending", "after `in` comes a list of values, or the column findings"),
        ("client_port in ('80', '443')", "a number is compared with a word"),
        ("a" * 100_000, "is no condition"),
        ("not " * 5_000 + "True", ""),
        ("id == 1 or " * 2_000 + "id == 2", "too long"),
        ("id == 1\nimport os", "invalid syntax"),
        ("\0", ""),
    ],
)
def test_what_is_refused_is_told_in_a_line(expression: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        where.parse(expression)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
