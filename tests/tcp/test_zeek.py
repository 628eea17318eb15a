import pytest

from testbed.tcp.zeek import conn_state, history

from .conversation import HANDSHAKE, track

CASES = {
    # Zeek's words for each (base/protocols/conn/main.zeek): (conversation, conn_state, history)
    "attempt, no reply": ("> S 0:0(0)", "S0", "S"),
    "established, not ended": (HANDSHAKE, "S1", "ShA"),
    "normal": (HANDSHAKE + "> F. 1:1(0) ack 1\n< F. 1:1(0) ack 2", "SF", "ShAFf"),
    "rejected": ("> S 0:0(0)\n< R. 0:0(0) ack 1", "REJ", "Sr"),
    "closed by the originator alone": (HANDSHAKE + "> F. 1:1(0) ack 1\n< . 1:1(0) ack 2", "S2", "ShAFa"),
    "closed by the responder alone": (HANDSHAKE + "< F. 1:1(0) ack 1\n> . 1:1(0) ack 2", "S3", "ShAf"),
    "aborted by the originator": (HANDSHAKE + "> R. 1:1(0) ack 1", "RSTO", "ShAR"),
    "aborted by the responder": (HANDSHAKE + "< R. 1:1(0) ack 1", "RSTR", "ShAr"),
    "SYN and RST, no SYN,ACK": ("> S 0:0(0)\n> R 1:1(0)", "RSTOS0", "SR"),
    "SYN,ACK and RST, no SYN": ("< S. 0:0(0) ack 1\n< R 1:1(0)", "RSTRH", "^hr"),
    "SYN and FIN, no SYN,ACK": ("> S 0:0(0)\n> F 1:1(0)", "SH", "SF"),
    "SYN,ACK and FIN, no SYN": ("< S. 0:0(0) ack 1\n< F. 1:1(0) ack 1", "SHR", "^hf"),
    "no SYN": ("> P. 1:11(10) ack 1\n< . 1:1(0) ack 11", "OTH", "Da"),
    "an RST alone": ("< R 1:1(0)", "OTH", "^r"),
    "data again, zero window, data missing": (
        HANDSHAKE
        + "> P. 1:11(10) ack 1\n+1\n> P. 1:11(10) ack 1\n< . 1:1(0) ack 11 win 0\n< P. 9:19(10) ack 11",
        "S1",
        "ShADTawdg",
    ),
    "SYN with FIN": ("> FS 0:0(0)", "SH", "SFQ"),
}


@pytest.mark.parametrize("name", CASES)
def test_words(name: str) -> None:
    text, state, letters = CASES[name]
    connection = track(text)
    assert (conn_state(connection), history(connection)) == (state, letters)
