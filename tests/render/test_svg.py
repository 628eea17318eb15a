"""The ladder as a picture: well-formed whatever stands in it, self-contained, light and dark."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from testbed.render import svg
from testbed.render.ladder import Arrow, Gap, Ladder, StateRow, StepRow

from .strategies import ladders
from .test_terminal import missing_fin

NS = "{http://www.w3.org/2000/svg}"
DRAWN = {"svg", "title", "style", "defs", "pattern", "rect", "path", "text", "tspan", "circle", "g"}
HOSTILE = '"><script>alert(1)</script>&amp;]]>\x00\x1b[2J\ufffe'


def texts(drawing: str) -> list[str]:
    return ["".join(element.itertext()) for element in ET.fromstring(drawing).iter(NS + "text")]


@given(ladders)
def test_every_ladder_is_well_formed_and_nothing_in_it_is_code(drawn: Ladder) -> None:
    root = ET.fromstring(svg.draw(drawn))
    assert {element.tag.removeprefix(NS) for element in root.iter()} <= DRAWN
    attributes = {name for element in root.iter() for name in element.attrib}
    assert not [name for name in attributes if name.startswith("on") or "href" in name]


def test_hostile_names_stay_text() -> None:
    rows = (
        Arrow(0, True, HOSTILE, (HOSTILE,), HOSTILE, HOSTILE, frame=1),
        StepRow(5, "client", HOSTILE),
    )
    drawing = svg.draw(Ladder(HOSTILE, HOSTILE, HOSTILE, rows))
    root = ET.fromstring(drawing)
    assert not list(root.iter(NS + "script"))
    assert "<script" not in drawing
    shown = root.find(NS + "title")
    assert shown is not None
    assert shown.text == '"><script>alert(1)</script>&amp;]]>\\x00\\x1b[2J\\ufffe'


def test_it_loads_nothing() -> None:
    drawing = svg.draw(missing_fin())
    assert re.findall(r"https?:[^\"' <]*", drawing) == ["http://www.w3.org/2000/svg"]
    assert set(re.findall(r"url\((.)", drawing)) == {"#"}
    assert "@import" not in drawing
    assert "prefers-color-scheme:dark" in drawing


def test_every_class_that_is_used_has_a_rule_in_both_schemes() -> None:
    drawing = svg.draw(missing_fin())
    style = ET.fromstring(drawing).find(NS + "style")
    assert style is not None
    assert style.text is not None
    light, dark = style.text.split("@media")
    used = {name for names in re.findall(r'class="([^"]*)"', drawing) for name in names.split()}
    without = {"small", "title", "dashed", "thick"}
    for name in used:
        assert f".{name}{{" in light
        assert f".{name}{{" in dark or name in without


def test_it_says_what_the_terminal_says() -> None:
    shown = texts(svg.draw(missing_fin()))
    for text in (
        "S 0:0(0)",
        "P. 1:255(254) ack 105",
        "F. 255:255(0) ack 106never sent",
        ". 254:254(0) ack 106keep-alive",
        "client.shutdown(SHUT_WR)",
        "15.0 s of silence",
        "▲ missing-fin",
        "FIN_WAIT_2",
        "CLOSE_WAIT",
        "15.045200",
        "state seen by the kernel",
        "state the segments imply",
    ):
        assert text in shown


def test_the_kernels_bars_are_solid_and_the_wires_hatched() -> None:
    rows = (
        Arrow(0, True, "> . 1:1(0) ack 1", (), "ESTABLISHED", "CLOSE_WAIT", "kernel", "wire"),
        Gap(2_000_000_000),
        StateRow(2_000_000_000, "client", "CLOSED"),
    )
    bars = [
        element.attrib["class"]
        for element in ET.fromstring(svg.draw(Ladder("c", "s", "", rows))).findall(NS + "rect")
    ]
    # paper; then each bar in two pieces, as the gap tears it
    assert sorted(bars) == ["h-owing", "h-owing", "paper", "s-open", "s-open"]


def test_nothing_is_drawn_outside_the_picture() -> None:
    root = ET.fromstring(svg.draw(missing_fin()))
    width, height = (float(root.attrib[name]) for name in ("width", "height"))
    for element in root.iter(NS + "text"):
        x, y = float(element.attrib["x"]), float(element.attrib["y"])
        length = len("".join(element.itertext())) * svg.CHAR
        left = x - {"end": length, "middle": length / 2}.get(element.attrib.get("text-anchor", ""), 0)
        assert left >= 0
        assert left + length <= width
        assert 0 < y < height


@given(ladders, st.booleans())
def test_a_part_of_a_page_is_well_formed_and_names_its_segments(drawn: Ladder, narrow: bool) -> None:
    root = ET.fromstring(svg.inline(drawn, narrow=narrow))
    assert {element.tag for element in root.iter()} <= DRAWN
    frames = [group.attrib["data-frame"] for group in root.iter("g") if "data-frame" in group.attrib]
    assert frames == [str(row.frame) for row in drawn.rows if isinstance(row, Arrow) and row.frame]


def test_the_narrow_one_says_the_same_within_a_telephone() -> None:
    narrow = ET.fromstring(svg.inline(missing_fin(), narrow=True))
    assert float(narrow.attrib["width"]) <= 360
    said = " ".join("".join(element.itertext()) for element in narrow.iter("text"))
    for text in ("F. 105:105(0) ack 255", "8  0.002012", "CLOSE_WAIT", "15.0 s of silence", "▲ missing-fin"):
        assert text in said
    for element in narrow.iter("text"):
        x = float(element.attrib["x"])
        small = "small" in element.attrib["class"]
        length = len("".join(element.itertext())) * (svg.SMALL if small else svg.CHAR)
        left = x - {"end": length, "middle": length / 2}.get(element.attrib.get("text-anchor", ""), 0)
        assert left >= 0 and left + length <= float(narrow.attrib["width"])


def test_each_segment_tells_its_frame_and_time_where_a_pointer_rests() -> None:
    root = ET.fromstring(svg.draw(missing_fin()))
    told = [str(group[0].text) for group in root.iter(NS + "g") if group.find(NS + "title") is not None]
    assert len(told) == 13
    assert told[7] == (
        "frame 8, 0.002012 s, client to server: F. 105:105(0) ack 255; FIN_WAIT_1 / CLOSE_WAIT"
    )
