"""What the kernel says of its sockets: the second witness, beside the wire.

sample            one socket as seen at one time, and how a set of them is searched
sampler           the tables sampled in the background, by the best witness that answers here
look              one look at the tables, by either witness, and what it changes
sock_diag         NETLINK_SOCK_DIAG: dumps and exact look-ups, with queues, timers and inodes
sock_diag_codec   its bytes, pure; port_filter and tcp_info have two parts of them
diag_socket       one socket as sock_diag shows it
rows              many of them, each decoded when it is looked at
readings          what its queues, timers and holder mean
owners            which process holds a socket, by inode
counters          how many connections of a network were aborted
psutil_witness    the same tables through psutil: portable
"""

from .diag_socket import DiagSocket
from .psutil_witness import sockets
from .readings import Reading, readings
from .sample import SocketSample
from .sampler import Sampler
from .sock_diag import SockDiag

__all__ = ["DiagSocket", "Reading", "Sampler", "SockDiag", "SocketSample", "readings", "sockets"]
