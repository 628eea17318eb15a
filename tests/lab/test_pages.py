"""The page of an experiment: what the kernel told, what the programs did, what it was held to."""

from __future__ import annotations

import base64
from pathlib import Path

from testbed.lab import Lab
from testbed.lab.pages import About
from testbed.net.private import PrivateNetwork

from ..report.seen import Seen


async def test_it_shows_each_witness_and_each_step(network: PrivateNetwork, tmp_path: Path) -> None:
    async with Lab() as lab:
        await lab.serve("echo")
        client, other = await lab.connect(), await lab.connect()
        client.close()
        other.close()
        await lab.see_gone("server")
    checks = [lab.experiment.check_capture(), lab.experiment.check_transcript("> S 0:0(0)")]
    about = About("testbed run", "testbed run <it>", "this is why", checks)
    files = lab.experiment.save(tmp_path, "two closes", about)
    seen = Seen(Path(files["page"]).read_text(encoding="utf-8"))
    assert "two closes" in seen.text and "this is why" in seen.text and "testbed run <it>" in seen.text
    assert "1 of 2 checks hold" in seen.text
    assert "+ > F. 1:1(0) ack 1" in seen.text, "the transcript that was not expected"
    assert "client.close()" in seen.text
    told = " ".join(seen.attributes("aria-label"))
    assert "client kernel: ESTABLISHED" in told and "server wire: ESTABLISHED" in told
    rows = [attributes for tag, attributes in seen.tags if tag == "tr" and "data-id" in attributes]
    assert [row["data-id"] for row in rows] == ["1", "2"]
    (capture,) = [href for href in seen.attributes("href") if href.startswith("data:")]
    assert base64.b64decode(capture.partition(",")[2]) == Path(files["capture"]).read_bytes()


async def test_one_without_a_connection_is_a_page_too(network: PrivateNetwork, tmp_path: Path) -> None:
    async with Lab() as lab:
        await lab.serve("echo")
    files = lab.experiment.save(tmp_path, "nobody came")
    assert "nobody came" in Path(files["page"]).read_text(encoding="utf-8")
