"""The state machine as a picture: every edge in it, self-contained, nothing written over another thing."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from testbed.render import diagram
from testbed.tcp.states import DIRECT, EDGES, Event

NS = "{http://www.w3.org/2000/svg}"
ALL = [diagram.DrawnEdge(edge, "walked", "told <here>") for edge in (*EDGES, DIRECT)]


def test_every_edge_of_figure_5_has_its_line_and_no_other() -> None:
    drawn = {(edge.state, edge.event) for edge in (*EDGES, DIRECT) if edge.in_figure_5}
    assert set(diagram.ROUTES) == drawn


@pytest.mark.parametrize("edge", [edge for edge in (*EDGES, DIRECT) if edge.in_figure_5], ids=str)
def test_a_line_leads_from_its_state_to_its_next(edge: object) -> None:
    assert isinstance(edge, type(DIRECT))
    route = diagram.ROUTES[edge.state, edge.event]
    ends = [diagram.CENTRES[edge.state]], [diagram.CENTRES[edge.next]]
    if edge.next == "CLOSED":
        ends[1].append(diagram.CLOSED_AGAIN)
    for (x, y), centres in zip((route.points[0], route.points[-1]), ends, strict=True):
        assert any(
            (abs(x - cx) == diagram.BOX[0] / 2 and abs(y - cy) < diagram.BOX[1] / 2)
            or (abs(y - cy) == diagram.BOX[1] / 2 and abs(x - cx) < diagram.BOX[0] / 2)
            for cx, cy in centres
        ), f"({x}, {y}) is at the border of none of {centres}"


def test_it_is_well_formed_and_loads_nothing() -> None:
    drawing = diagram.draw(ALL, "a <title>", "a & footnote")
    root = ET.fromstring(drawing)
    told = [element.text or "" for element in root.iter(NS + "title")]
    resets = [e for e in EDGES if e.event in (Event.RECEIVE_RST, Event.SEND_RST) and not e.in_figure_5]
    assert sum("told <here>" in text for text in told) == len(diagram.ROUTES) + len(resets)
    assert re.findall(r"https?:[^\"' <]*", drawing) == ["http://www.w3.org/2000/svg"]
    assert "prefers-color-scheme:dark" in drawing


def test_what_was_not_walked_looks_otherwise() -> None:
    looks = {
        standing: diagram.draw([diagram.DrawnEdge(DIRECT, standing, "")], "") for standing in diagram.INK
    }
    assert len(set(looks.values())) == len(looks)
