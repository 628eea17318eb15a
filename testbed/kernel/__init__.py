"""What the kernel says of its sockets: the second witness, beside the wire.

sample            one socket as seen at one time, and how a set of them is searched
psutil_witness    the socket tables through psutil: portable, polled, and so blind between polls
"""

from .psutil_witness import Sampler, sockets
from .sample import SocketSample

__all__ = ["Sampler", "SocketSample", "sockets"]
