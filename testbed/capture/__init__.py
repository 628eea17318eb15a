"""tcpdump, kept honest: it is known when it listens, what it has, and that it has lost nothing.

arguments    the command line, and tcpdump's complaints as errors with a remedy
sentinel     a datagram of one's own that comes back through tcpdump: "all before it is here"
process      tcpdump as a child process: its two pipes, its signals, its end
tcpdump      `Tcpdump`: started, cut into recordings, proven against the interface's counter
recording    `Recording`: the packets of one cut
"""

from .recording import Recording
from .tcpdump import Tcpdump

__all__ = ["Recording", "Tcpdump"]
