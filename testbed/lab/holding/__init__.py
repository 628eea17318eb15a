"""Which line of this process holds a connection: for servers and clients that run beside the test.

    place     files and lines; which are the user's; what the source says around a line
    objects   the objects of a connection in this process: transports, protocols, streams, sockets
    tasks     the tasks that hold it, and the line where each waits
    keepers   who keeps an object alive, as one would write it: ``pool.idle[0]``
    watch     what must be noted when it happens: how handlers ended, where connections were opened
    holding   all of it, about one connection
    held      several connections, told together where the same lines hold them

The kernel names the process that holds a socket; this names the code.  It looks only when it is
asked, which the lab does when an end of a connection is found open that should not be.
"""

from .held import Held, clues_by_pair, held_open
from .holding import End, Holding, look
from .objects import Pair
from .watch import Watch

__all__ = ["End", "Held", "Holding", "Pair", "Watch", "clues_by_pair", "held_open", "look"]
