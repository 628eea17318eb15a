"""The endings: what a server does when a connection, or the server itself, comes to its end.

One row is one way to behave.  Its prose says what the server does, what must be seen, and why TCP
shows it so; its four strategies are what a connection calls, and nothing else in this package asks
which ending it is:

    respond   carry out the replies to what was just read
    goodbye   the client's EOF was read, or the server has a reason of its own to close
    fault     the connection broke: ECONNRESET, EPIPE, ETIMEDOUT
    stop      the server was told to stop (SIGTERM, or `await server.stop()`)

`polite` is the yardstick; every other row departs from it in one point only, so that a check which
fails says which point it is.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from .conversation import Command, Send

if TYPE_CHECKING:
    from .connection import Connection
    from .listener import Server

__all__ = ["ENDINGS", "Ending", "find_ending"]

logger = logging.getLogger(__name__)

#: Seconds that `cut-on-eof` takes before each reply, so that a FIN right behind the request finds it there.
THINKING = 0.1

Respond = Callable[["Connection", Iterator[Command]], Awaitable[None]]
Goodbye = Callable[["Connection"], Awaitable[None]]
Fault = Callable[["Connection", OSError], Awaitable[None]]
Stop = Callable[["Server"], Awaitable[None]]


# -- respond -----------------------------------------------------------------------------------------


async def reply(conn: Connection, commands: Iterator[Command]) -> None:
    """One after the other, to the last."""
    for command in commands:
        await conn.perform(command)


async def reply_in_two_parts(conn: Connection, commands: Iterator[Command]) -> None:
    """Half of the first bytes now; the rest once the client's FIN is there, or after `delay` without it."""
    for command in commands:
        if isinstance(command, Send) and len(command.data) > 1:
            half = len(command.data) // 2
            await conn.perform(Send(command.data[:half]))
            await conn.client_fin(within=conn.delay)
            await conn.perform(Send(command.data[half:]))
            break
        await conn.perform(command)
    await reply(conn, commands)


async def reply_until_fin(conn: Connection, commands: Iterator[Command]) -> None:
    """The client's FIN is taken for the end of both directions, a reply under way or not."""
    if await conn.client_fin(within=THINKING) or not await conn.unless_client_fin(reply(conn, commands)):
        conn.close()


async def reply_then_close(conn: Connection, commands: Iterator[Command]) -> None:
    """The first reply is also the last."""
    await reply(conn, commands)
    if _has_answered(conn):
        conn.close()


async def reply_then_go_deaf(conn: Connection, commands: Iterator[Command]) -> None:
    """Nobody reads the socket any more; the EOF will lie in the kernel."""
    await reply(conn, commands)
    if _has_answered(conn):
        await conn.hold()


async def reply_then_close_on_unread(conn: Connection, commands: Iterator[Command]) -> None:
    """Leave the next bytes in the kernel, and close on top of them."""
    await reply(conn, commands)
    if _has_answered(conn):
        await conn.something_to_read()
        conn.close()


def _has_answered(conn: Connection) -> bool:
    # HTTP's `100 Continue` is sent in mid-request and is no reply yet.
    return conn.bytes_sent > 0 and not conn.mid_request


# -- goodbye -----------------------------------------------------------------------------------------


async def close(conn: Connection) -> None:
    await conn.close_lingering()


async def close_late(conn: Connection) -> None:
    await conn.wait(conn.delay)
    await conn.close_lingering()


async def never_close(conn: Connection) -> None:
    await conn.hold()


async def reset(conn: Connection) -> None:
    conn.reset()


async def shut_but_keep(conn: Connection) -> None:
    conn.shutdown_write()
    await conn.hold()


# -- fault -------------------------------------------------------------------------------------------


async def forget(conn: Connection, error: OSError) -> None:
    conn.close()


async def keep_descriptor(conn: Connection, error: OSError) -> None:
    await conn.hold()


async def crash(conn: Connection, error: OSError) -> None:
    conn.server.crash(error)
    conn.close()


# -- stop --------------------------------------------------------------------------------------------


async def finish_requests(server: Server) -> None:
    server.stop_listening()
    server.ask_to_finish()
    await server.settled(server.grace)


async def finish_requests_dropping_the_queue(server: Server) -> None:
    server.stop_listening(drain=False)
    server.ask_to_finish()
    await server.settled(server.grace)


async def finish_requests_still_accepting(server: Server) -> None:
    server.ask_to_finish()
    await server.settled(server.grace)
    server.stop_listening()


async def finish_requests_and_the_fresh(server: Server) -> None:
    server.stop_listening()
    server.ask_to_finish(fresh=False)
    await server.settled(None)


async def wait_for_everyone(server: Server) -> None:
    server.stop_listening()
    await server.empty()


async def close_everyone(server: Server) -> None:
    server.stop_listening()
    server.cut(reset=False)
    await server.empty()


async def reset_everyone(server: Server) -> None:
    server.stop_listening()
    server.cut(reset=True)
    await server.empty()


# -- the table ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ending:
    """One way to end connections.  `does`, `seen` and `why` are for people; the rest is called."""

    name: str
    does: str
    seen: str
    why: str
    respond: Respond = reply
    goodbye: Goodbye = close
    fault: Fault = forget
    stop: Stop = finish_requests
    accepts: bool = True
    accept_pause: float = 0.0
    """Seconds between a connection's arrival and accept(): what makes a queue, seen from outside."""


_ROWS = (
    Ending(
        "polite",
        does="reads the EOF and closes at once; closes first only by sending FIN and then reading on until "
        "the client's; told to stop: answers what is under way and what is queued, closes the idle, exits",
        seen="> F. then < F. with the ACK riding on it; no RST; LAST_ACK, CLOSED",
        why="RFC 9293, 3.6; lingering close: RFC 9112, 9.6",
    ),
    Ending(
        "half-close-aware",
        does="sends half of each reply at once and the rest when the client's FIN has come (or `delay` "
        "seconds later), then closes",
        seen="< P. and > F., then < P. again while the client is in FIN_WAIT_2, then < F.",
        why="a FIN ends one direction only: RFC 9293, 3.6; data in CLOSE_WAIT, 3.10.4",
        respond=reply_in_two_parts,
    ),
    Ending(
        "server-first",
        does="closes right after its first reply",
        seen="< F. before any > F.; FIN_WAIT_1, FIN_WAIT_2 and TIME_WAIT are the server's",
        why="the active closer waits 2 MSL: RFC 9293, 3.6.1",
        respond=reply_then_close,
    ),
    Ending(
        "slow",
        does="closes `delay` seconds after it read the EOF",
        seen="> F. and its ACK alone; `delay` later < F.: four segments, CLOSE_WAIT in between",
        why="the kernel acknowledges the FIN (delayed ACK), only close() sends one: RFC 9293, 3.6, case 2",
        goodbye=close_late,
    ),
    Ending(
        "never",
        does="reads the EOF and keeps the socket",
        seen="> F. is acknowledged, no < F. follows; CLOSE_WAIT with an empty receive queue, for ever",
        why="CLOSE_WAIT has no timeout: RFC 9293, 3.9.1 (CLOSE is the user's call)",
        goodbye=never_close,
    ),
    Ending(
        "deaf",
        does="stops reading after its first reply, so that nobody ever reads the EOF",
        seen="> F. is acknowledged, no < F. follows; CLOSE_WAIT with the FIN (and data) in the receive queue",
        why="the kernel takes data and FIN for the application until the window is full: RFC 9293, 3.10.7.4",
        respond=reply_then_go_deaf,
    ),
    Ending(
        "shutdown-only",
        does="on EOF calls shutdown(SHUT_WR) and keeps the descriptor",
        seen="both FINs, an orderly end on the wire; one descriptor more in the server for each connection",
        why="shutdown() sends the FIN, close() frees the descriptor: shutdown(2)",
        goodbye=shut_but_keep,
    ),
    Ending(
        "cut-on-eof",
        does="thinks for 0.1 s before each reply; takes the client's FIN for the end of both directions, "
        "drops the reply under way and closes",
        seen="> P. and > F., then < F. (or < R. where unread data was left) before the reply is complete",
        why="a server may do so (RFC 1122, 4.2.2.13), but it cuts off a client that half-closes",
        respond=reply_until_fin,
    ),
    Ending(
        "linger-zero",
        does="closes with SO_LINGER {1, 0}",
        seen="< R. instead of < F.; a client that still reads gets ECONNRESET",
        why="ABORT instead of CLOSE: RFC 9293, 3.9.1; socket(7), SO_LINGER",
        goodbye=reset,
    ),
    Ending(
        "unread",
        does="stops reading after its first reply and closes when the next bytes lie in the kernel",
        seen="< R. instead of < F., drawn by the client's second write; ECONNRESET there",
        why="close() with unread data must tell the peer: RFC 1122, 4.2.2.13; RFC 2525, 2.17",
        respond=reply_then_close_on_unread,
    ),
    Ending(
        "accept-never",
        does="listens and never calls accept()",
        seen="a complete handshake, data acknowledged by the kernel, no answer; RST when the listener closes",
        why="the handshake is the kernel's: listen(2); the queue holds backlog + 1",
        stop=finish_requests_dropping_the_queue,
        accepts=False,
    ),
    Ending(
        "leak-on-reset",
        does="keeps the descriptor of a connection that the client has reset",
        seen="> R.; the socket leaves the kernel's tables, the descriptor stays",
        why="RST deletes the connection (RFC 9293, 3.10.7.4), only close() the descriptor",
        fault=keep_descriptor,
    ),
    Ending(
        "crash-on-reset",
        does="treats a connection that the client has reset as fatal to the whole server (exit 1)",
        seen="> R., then < F. or < R. on every other connection, and connections refused",
        why="an error of one peer, not handled: RFC 9293, 3.8.3 asks for the report, not for the crash",
        fault=crash,
    ),
    Ending(
        "ignore-stop",
        does="told to stop: closes its listener, then waits for every client to leave of its own accord",
        seen="no < F. on idle connections; the process outlives its grace",
        why="Python 3.12's Server.wait_closed() waits so; systemd's SIGKILL comes after TimeoutStopSec",
        stop=wait_for_everyone,
    ),
    Ending(
        "wait-for-fresh",
        does="told to stop: closes idle connections that have been served, waits for those that never asked",
        seen="< F. on served connections, nothing on a fresh one; the process outlives its grace",
        why="servers that count a connection idle only after its first reply",
        stop=finish_requests_and_the_fresh,
    ),
    Ending(
        "cut-on-stop",
        does="told to stop: closes every connection at once, replies under way or not",
        seen="< F. (< R. where data lay unread) before the reply is complete",
        why="an exit without a graceful path: the kernel closes the descriptors of a dead process",
        stop=close_everyone,
    ),
    Ending(
        "abort-on-stop",
        does="told to stop: resets every connection with SO_LINGER {1, 0}",
        seen="< R. on every connection, idle ones too",
        why="ABORT instead of CLOSE: RFC 9293, 3.9.1",
        stop=reset_everyone,
    ),
    Ending(
        "accept-on-stop",
        does="told to stop: goes on accepting while requests under way are finished",
        seen="S, S., . after the signal, closed without an answer when the server leaves",
        why="a listener open during the drain takes connections that a successor could have had",
        stop=finish_requests_still_accepting,
    ),
    Ending(
        "drop-queued",
        does="accepts late (0.1 s), and told to stop closes its listener with connections still in the queue",
        seen="< R. to connections whose handshake was complete and whose request was acknowledged",
        why="closing a listener resets what accept() has not taken: inet_csk_listen_stop()",
        stop=finish_requests_dropping_the_queue,
        accept_pause=0.1,
    ),
)

#: The endings by name, in the order in which they are best read.
ENDINGS: Mapping[str, Ending] = MappingProxyType({row.name: row for row in _ROWS})


def find_ending(name: str) -> Ending:
    """The row of that name; ValueError names the ones there are."""
    try:
        return ENDINGS[name]
    except KeyError:
        raise ValueError(f"no ending called {name!r}; there are: {', '.join(ENDINGS)}") from None
