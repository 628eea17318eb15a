"""The page as its reader meets it: in Chromium, with a pointer, a keyboard, and on a telephone."""

from __future__ import annotations

import json
import statistics
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbed.explanation.survey import Survey
from testbed.report import folder
from testbed.report.surveyed import Way
from testbed.wire.segment import Packet

from ..test_explanation import CALL
from .captures import spoken, write
from .opening import opened
from .test_page import EVIL

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SVG = "{http://www.w3.org/2000/svg}"


def report(path: Path, out: Path) -> Path:
    """What `explain --out` makes of a capture: the page."""
    with Survey(rows=True, limit=folder.MOST) as survey:
        survey.read(path)
        folder.write(out, lambda: [path], survey, "", way=Way("testbed explain", "again", [str(path)]))
    return out / "index.html"


def talk(number: int) -> Iterator[Packet]:
    """One to four messages of number + 1 bytes each; the odd ones are reset."""
    said = [b"x" * (number + 1)] * (number % 4 + 1)
    return spoken(said, port=41000 + number, closed=number % 2 == 0)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty connections; the odd ones reset."""
    here = tmp_path_factory.mktemp("site")
    rows = [
        row
        for number in range(40)
        for row in spoken(
            [b"x" * (number + 1)] * (number % 4 + 1), port=41000 + number, closed=number % 2 == 0
        )
    ]
    return report(write(here / "forty.pcap", rows), here / "out")


def visible_ids(page: Page) -> list[int]:
    rows = page.locator("#connections tbody tr:visible td:first-child").all_inner_texts()
    return [int(text) for text in rows]


def test_the_worst_connection_is_seen_first(browser: Browser, site: Path) -> None:
    with opened(browser, site) as page:
        assert page.locator(".connection:visible h2").inner_text().startswith("#2 ")  # the first with an RST


def test_words_filter_the_table(browser: Browser, site: Path) -> None:
    with opened(browser, site) as page:
        assert visible_ids(page) == list(range(1, 41))
        page.keyboard.press("/")
        page.keyboard.type("Reset 4100")
        assert visible_ids(page) == [2, 4, 6, 8, 10]
        assert page.locator("#matches").inner_text() == "5 of 40"
        page.keyboard.press("Escape")
        assert len(visible_ids(page)) == 40
        page.get_by_role("button", name="reset", exact=True).click()
        assert visible_ids(page) == list(range(2, 41, 2))


def test_columns_sort_the_table_by_number(browser: Browser, site: Path) -> None:
    with opened(browser, site) as page:
        page.get_by_role("button", name="bytes").click()
        assert page.locator("th[aria-sort]").get_attribute("aria-sort") == "ascending"
        sent = {number + 1: (number + 1) * (number % 4 + 1) for number in range(40)}
        assert [sent[number] for number in visible_ids(page)] == sorted(sent.values())
        page.get_by_role("button", name="bytes").click()
        assert page.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"
        assert [sent[number] for number in visible_ids(page)] == sorted(sent.values(), reverse=True)


def test_a_row_opens_its_connection(browser: Browser, site: Path) -> None:
    with opened(browser, site) as page:
        page.locator("#connections tbody tr[data-id='7'] td:nth-child(3)").click()
        page.locator(".connection[data-id='7']").wait_for(state="visible")
        assert page.url.endswith("#connection-7")
        page.locator("#connections tbody tr[data-id='7'] a").focus()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        page.locator(".connection[data-id='8']").wait_for(state="visible")
        assert page.locator(".connection:visible").count() == 1
        assert page.locator("tr[aria-current]").get_attribute("data-id") == "8"


def test_a_pointer_on_a_segment_shows_its_header_options_and_bytes(browser: Browser, site: Path) -> None:
    with opened(browser, site, viewport={"width": 1700, "height": 900}) as page:
        inspector = page.locator("#inspector")
        assert not inspector.is_visible()
        page.locator("svg.wide .segment:visible").first.hover()
        told = inspector.inner_text()
        assert "mss 1460, sackOK, TS val 1 ecr 0, nop, wscale 7" in told
        assert "0 (absolute 1000)" in told and "SYN (0x002)" in told
        assert "02 04 05 b4 04 02 08 0a" in told.replace("\n", ""), "the options' bytes"
        page.locator("h1").hover()
        assert not inspector.is_visible()


def test_keys_move_from_segment_to_segment(browser: Browser, site: Path) -> None:
    with opened(browser, site, "#connection-1") as page:
        title = page.locator("#inspector h2")
        page.locator("svg.wide .segment:visible").first.click()
        assert title.inner_text() == "frame 1"
        for key, frame in (("ArrowDown", 2), ("ArrowDown", 3), ("ArrowUp", 2), ("End", 8), ("Home", 1)):
            page.keyboard.press(key)
            assert title.inner_text() == f"frame {frame}"
        assert page.locator("svg.wide .segment.chosen:visible").get_attribute("data-frame") == "1"
        page.keyboard.press("Escape")
        assert not page.locator("#inspector").is_visible()


def test_a_segment_is_reached_with_the_keyboard_alone(browser: Browser, site: Path) -> None:
    with opened(browser, site, "#connection-1") as page:
        page.get_by_role("button", name="save as SVG").locator("visible=true").focus()
        page.keyboard.press("Tab")
        assert page.locator("#inspector h2").inner_text() == "frame 1"


def test_a_finding_leads_to_its_segment(browser: Browser, site: Path) -> None:
    with opened(browser, site, "#connection-2") as page:
        link = page.locator(".connection:visible .to-frame").first
        frame = link.get_attribute("data-frame")
        link.click()
        assert page.locator("#inspector h2").inner_text() == f"frame {frame}"
        assert "reset" in page.locator("#inspector .marks").inner_text()
        shown = page.locator("svg.wide .segment.chosen:visible")
        assert "R." in str(shown.get_attribute("aria-label"))
        assert shown.bounding_box() is not None


def test_an_address_names_connection_and_segment(browser: Browser, site: Path) -> None:
    with opened(browser, site, "#connection-2:10") as page:
        assert page.locator(".connection:visible").get_attribute("data-id") == "2"
        assert page.locator("#inspector h2").inner_text() == "frame 10"


def test_the_ladder_grows_and_shrinks(browser: Browser, site: Path) -> None:
    with opened(browser, site) as page:
        ladder = page.locator("svg.wide.ladder:visible")

        def width() -> float:
            box = ladder.bounding_box()
            assert box is not None
            return box["width"]

        usual = width()
        page.get_by_role("button", name="larger").locator("visible=true").click()
        assert width() > usual
        page.locator("svg.wide .segment:visible").first.focus()
        page.keyboard.press("-")
        page.keyboard.press("-")
        assert width() < usual
        page.keyboard.press("0")
        assert width() == usual


def test_the_capture_is_in_the_page(browser: Browser, site: Path, tmp_path: Path) -> None:
    with opened(browser, site, "#connection-2") as page:
        with page.expect_download() as download:
            page.locator(".connection:visible .file").click()
        download.value.save_as(tmp_path / "2.pcap")
    assert (tmp_path / "2.pcap").read_bytes() == (site.parent / "connection-2.pcap").read_bytes()


def test_a_ladder_is_saved_as_a_picture_of_its_own(browser: Browser, site: Path, tmp_path: Path) -> None:
    with opened(browser, site, "#connection-2:10") as page:
        with page.expect_download() as download:
            page.get_by_role("button", name="save as SVG").locator("visible=true").click()
        assert download.value.suggested_filename == "connection-2.svg"
        download.value.save_as(tmp_path / "2.svg")
    root = ET.parse(tmp_path / "2.svg").getroot()
    assert root.tag == f"{SVG}svg"
    words = ["".join(element.itertext()) for element in root.iter(f"{SVG}text")]
    assert "R. 5:5(0) ack 1" in words
    style = root.find(f"{SVG}style")
    assert style is not None and "prefers-color-scheme:dark" in str(style.text)
    assert "chosen" not in (tmp_path / "2.svg").read_text()


@pytest.fixture
def evil(tmp_path: Path) -> Sequence[Path]:
    """Pages of a capture whose payloads, and of a transcript whose host and file, are scripts."""
    rpc = json.dumps({"jsonrpc": "2.0", "method": EVIL}).encode()
    http = f"GET /{EVIL} HTTP/1.1\r\nHost: {EVIL}\r\nX-Evil: {EVIL}\r\n\r\n".encode()
    said = spoken([len(rpc).to_bytes(4, "big") + rpc, http], closed=False)
    named = tmp_path / f"{EVIL.replace('/', ':')}.txt"
    named.write_text(CALL.replace("localhost.63318", "<img/src=x/onerror=hacked=1>.63318"))
    return [
        report(write(tmp_path / "said.pcap", said), tmp_path / "said"),
        report(named, tmp_path / "named"),
    ]


def test_hostile_text_stays_text(browser: Browser, evil: Sequence[Path]) -> None:
    for path in evil:
        with opened(browser, path) as page:
            elements = page.locator("body *").count()
            page.locator("svg.wide .segment:visible").nth(3).click()
            page.keyboard.press("ArrowDown")
            page.keyboard.press("ArrowDown")
            assert page.evaluate("typeof hacked") == "undefined"
            assert page.locator("img, b, body script:not([type]) ~ script").count() == 0
            assert page.locator("body *").count() >= elements
    with opened(browser, evil[0]) as page:
        page.locator("svg.wide .segment:visible").nth(3).click()
        printed = page.locator("#inspector .bytes").inner_text()
        assert "<scr" in printed.replace("\n", "") or "script" in printed


def test_a_script_that_got_in_all_the_same_would_not_run(browser: Browser, site: Path) -> None:
    """The policy in the page itself; the browser says on its console that it held."""
    context = browser.new_context()
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(site.as_uri())
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'hacked=1'}))"
    )
    assert page.evaluate("typeof hacked") == "undefined"
    assert any("Content Security Policy" in text for text in said)
    context.close()


def test_it_is_read_on_a_telephone(browser: Browser, site: Path) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    with opened(browser, site, "#connection-2", **phone) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        ladder = page.locator("svg.narrow.ladder:visible")
        assert ladder.count() == 1 and page.locator("svg.wide.ladder:visible").count() == 0
        box = ladder.bounding_box()
        assert box is not None
        scale = box["width"] / float(str(ladder.get_attribute("width")))
        assert scale * 11 >= 10, "CSS pixels of its smallest letters"
        page.get_by_role("button", name="larger").locator("visible=true").tap()
        larger = ladder.bounding_box()
        assert larger is not None and larger["width"] > box["width"]
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, "it is the ladder that scrolls"
        page.get_by_role("button", name="fit").locator("visible=true").tap()
        page.locator("svg.narrow .segment:visible").nth(1).tap()
        assert page.locator("#inspector h2").inner_text() == "frame 10"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_ink_and_paper_follow_the_readers_scheme(browser: Browser, site: Path, scheme: str) -> None:
    with opened(browser, site, color_scheme=scheme) as page:
        dark = page.evaluate(
            "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).every((part) => part < 128)"
        )
        assert dark == (scheme == "dark")
        ink = page.locator("svg.wide text.t-ink:visible").first.evaluate(
            "(text) => getComputedStyle(text).fill"
        )
        assert (sum(map(int, ink[4:-1].split(","))) > 3 * 128) == (scheme == "dark")


def test_without_a_script_all_of_it_is_there(browser: Browser, site: Path) -> None:
    with opened(browser, site, java_script_enabled=False) as page:
        assert page.locator(".connection:visible").count() == 40
        assert page.locator("svg.wide.ladder:visible").count() == 40


TO_NEXT_FRAME = """async ([selector, keys]) => {
  const times = [];
  for (const key of keys) {
    const target = selector ? document.querySelector(selector) : document.activeElement;
    const before = performance.now();
    if (selector) { target.value = key; target.dispatchEvent(new Event('input')); }
    else target.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}));
    await new Promise((next) => requestAnimationFrame(() => setTimeout(next)));
    times.push(performance.now() - before);
  }
  return times;
}"""
"""Milliseconds that each key took, until what it changed was drawn."""


def test_two_thousand_segments(browser: Browser, tmp_path: Path) -> None:
    """What it took is printed (pytest -s): from a key to the next frame, in the filter and in the ladder."""
    long = [*spoken([b"x" * 100] * 997, port=42000), *spoken([b"y"], port=42001, closed=False)]
    others = [row for number in range(400) for row in spoken([b"z"], port=43000 + number)]
    path = report(write(tmp_path / "long.pcap", [*long, *others]), tmp_path / "out")
    with opened(browser, path, "#connection-1") as page:
        assert page.locator("svg.wide .segment:visible").count() == 2000
        loaded = page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
        words = ["4", "43", "430", "4300", "43001", "", "reset", ""]
        times = page.evaluate(TO_NEXT_FRAME, ["#filter", words])
        page.locator("svg.wide .segment:visible").first.click()
        steps = page.evaluate(TO_NEXT_FRAME, ["", ["ArrowDown"] * 20])
        assert page.locator("#inspector h2").inner_text() == "frame 21"
    print(
        f"\n{path.stat().st_size / 1e6:.1f} MB, loaded in {loaded:.0f} ms; "
        f"filter to next frame: {statistics.median(times):.0f} ms (worst {max(times):.0f}); "
        f"key to next segment: {statistics.median(steps):.0f} ms (worst {max(steps):.0f})"
    )
