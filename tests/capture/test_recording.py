from pathlib import Path

from testbed.capture.recording import Recording
from testbed.wire.reader import open_capture
from testbed.wire.segment import Packet

# Ethernet, IPv4 127.0.0.1 -> 127.0.0.1, TCP 4660 -> 80 SYN, seq 1, window 512; checksums zero
SYN = bytes.fromhex(
    """
    000000000000 000000000000 0800
    45000028 00000000 40060000 7f000001 7f000001
    12340050 00000001 00000000 50020200 00000000
    """
)

NOW = 1_700_000_000_123_456_789


def recording(packets: list[Packet], snaplen: int = 2048) -> Recording:
    return Recording(packets, NOW + 2, 1, snaplen, len(packets), 0, True)


def test_what_is_saved_reads_back_the_same(tmp_path: Path) -> None:
    packets = [Packet(1, NOW, 1, SYN, 54), Packet(2, NOW + 1, 1, SYN[:40], 54)]
    path = tmp_path / "saved.pcap"
    recording(packets).save(path)
    with open_capture(path) as capture:
        assert list(capture) == packets
    assert (capture.format, capture.problems, capture.truncated) == ("pcap", [], 1)


def test_an_empty_one_is_a_capture_too(tmp_path: Path) -> None:
    recording([]).save(tmp_path / "empty.pcap")
    with open_capture(tmp_path / "empty.pcap") as capture:
        assert (list(capture), capture.link_types) == ([], ["ETHERNET"])


def test_its_segments() -> None:
    other = Packet(1, NOW, 1, SYN[:23] + b"\x11" + SYN[24:], 54)  # protocol 17, UDP
    [segment] = recording([other, Packet(2, NOW, 1, SYN, 54)]).segments()
    assert (segment.frame, segment.time_ns, segment.flags, segment.seq) == (2, NOW, 0x002, 1)
