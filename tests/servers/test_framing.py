"""The frame codec: any stream, cut anywhere."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.servers.framing import FrameDecoder, FrameTooLarge, encode_frame

BODIES = st.lists(st.binary(max_size=40), max_size=8)


@given(BODIES, st.lists(st.integers(0, 400), max_size=12))
def test_frames_survive_any_split(bodies: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(encode_frame(body) for body in bodies)
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    decoder = FrameDecoder(limit=40)
    out = [body for a, b in pairwise(edges) for body in decoder.feed(stream[a:b])]
    assert out == bodies
    assert decoder.pending == 0


@given(BODIES, st.integers(1, 400))
def test_pending_says_whether_a_frame_has_begun(bodies: list[bytes], cut: int) -> None:
    stream = b"".join(encode_frame(body) for body in bodies)[:cut]
    decoder = FrameDecoder(limit=40)
    whole = b"".join(encode_frame(body) for body in decoder.feed(stream))
    assert decoder.pending == len(stream) - len(whole)


def test_too_large_is_told_at_the_header_and_after_the_good_ones() -> None:
    decoder = FrameDecoder(limit=10)
    frames = decoder.feed(encode_frame(b"good") + b"\xff\xff\xff\xff" + b"x" * 1000)
    assert next(frames) == b"good"
    with pytest.raises(FrameTooLarge, match="4294967295 bytes, at most 10"):
        next(frames)
    assert decoder.pending == 4  # none of the body is kept
    with pytest.raises(FrameTooLarge):
        list(decoder.feed(b"more"))


def test_an_empty_frame_is_a_frame() -> None:
    assert list(FrameDecoder(limit=1).feed(b"\0\0\0\0")) == [b""]
