"""Ladders with anything in them: for what must hold of every drawing."""

from __future__ import annotations

from hypothesis import strategies as st

from testbed.render.ladder import (
    Arrow,
    Gap,
    GhostArrow,
    Ladder,
    Mark,
    Omitted,
    Row,
    StateRow,
    StepRow,
)

times = st.integers(-(2**62), 2**62) | st.integers(0, 10**11)
words = st.text(max_size=60) | st.text("ab \x1b\n\u202e日&<>\"']", max_size=200)
states = st.sampled_from(["", "CLOSED", "SYN_SENT", "ESTABLISHED", "FIN_WAIT_2", "CLOSE_WAIT"]) | words
notations = words | st.sampled_from(
    ["> S 0:0(0)", "< S. 0:0(0) ack 1", "> P. 4294967295:65494(65495) ack 4294967295", "< R 1:1(0)", ""]
)
witnesses = st.sampled_from(["wire", "kernel"])
sides = st.sampled_from(["client", "server"])
notes = st.lists(st.sampled_from(["keep-alive", "previous-segment-lost", "out-of-order"]) | words, max_size=3)
marks = st.lists(st.builds(Mark, words, st.sampled_from(["error", "warning", "info", "?"])), max_size=2)

rows: st.SearchStrategy[Row] = st.one_of(
    st.builds(
        Arrow,
        time_ns=times,
        from_client=st.booleans(),
        notation=notations,
        notes=notes.map(tuple),
        client_state=states,
        server_state=states,
        client_witness=witnesses,
        server_witness=witnesses,
        frame=st.integers(0, 2**32),
        marks=marks.map(tuple),
        fault=st.just("") | words,
        lost=st.booleans(),
    ),
    st.builds(StepRow, times, st.sampled_from(["client", "server", "lab"]), words),
    st.builds(StateRow, times, sides, states, witnesses),
    st.builds(GhostArrow, st.booleans(), notations, words),
    st.builds(Gap, st.integers(0, 2**62)),
    st.builds(Omitted, st.integers(0, 10**12), st.integers(0, 2**62)),
)

ladders = st.builds(
    Ladder,
    client=words,
    server=words,
    title=words,
    rows=st.lists(rows, max_size=12).map(tuple),
    start_ns=st.none() | times,
)
