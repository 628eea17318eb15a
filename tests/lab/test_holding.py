"""Which line holds a connection: real connections on loopback, held in every way that a program has.

The lines are looked for in the program, leaky.py, by what stands in them.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import ssl
import subprocess
import sys
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from testbed.findings import Clue
from testbed.kernel.sample import normal
from testbed.lab.holding import End, Holding, Watch, held_open, look
from testbed.lab.holding.objects import find
from testbed.tcp.states import State

from . import leaky

PROGRAM = Path(leaky.__file__)
SAYS_WHAT_WAS_CAUGHT = sys.version_info >= (3, 12)
WRITERS_CLOSE_THEMSELVES = sys.version_info >= (3, 13)


@pytest.fixture(autouse=True)
def nothing_left() -> None:
    leaky.GATES.clear()
    leaky.LEFT.clear()
    leaky.CLIENTS["all"].clear()
    leaky.Lines.peers.clear()


def line_of(code: str, file: Path = PROGRAM) -> int:
    """The number of the one line of the program that begins with `code`."""
    (line,) = (n for n, text in enumerate(file.read_text().splitlines(), 1) if text.strip().startswith(code))
    return line


def about(clues: tuple[Clue, ...], code: str, file: Path = PROGRAM) -> str:
    """What the clues say of the one line of the program that begins with `code`; "" when nothing."""
    place = f"{file.name}:{line_of(code, file)}"
    return "; ".join(what for where, what in clues if where.endswith(place))


class Peer:
    """The two ends of the connection that a client in this process has opened."""

    def __init__(self, writer: Any) -> None:
        ours, theirs = (normal(*writer.get_extra_info(end)[:2]) for end in ("sockname", "peername"))
        self.client_end = End("client", (ours, theirs), State.ESTABLISHED)
        self.server_end = End("server", (theirs, ours), State.CLOSE_WAIT)

    async def server(self, watch: Watch, until: Callable[[Holding], object]) -> tuple[Clue, ...]:
        """Who holds the server's end, once that is so; what is known by then when it does not become so."""
        found = Holding()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10):
                while not until(found):
                    await asyncio.sleep(0)
                    found = look([self.server_end], watch).get(self.server_end.pair, found)
        return found.clues

    def client(self, watch: Watch) -> tuple[Clue, ...]:
        """Who holds the client's end."""
        return look([self.client_end], watch)[self.client_end.pair].clues


def waits_at(code: str) -> Callable[[Holding], object]:
    return lambda found: code in " ".join(waiting.at.code for waiting in found.waiting)


def has_ended(found: Holding) -> object:
    return found.handler and found.handler.last


@contextlib.asynccontextmanager
async def served(
    start: Callable[[], Awaitable[asyncio.Server]], **options: Any
) -> AsyncIterator[tuple[Watch, Peer]]:
    """A server and a client of it that has sent a line and its FIN."""
    with Watch() as watch:
        server = await start()
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname(), **options)
        writer.write(b"hello\r\n")
        if writer.can_write_eof():
            writer.write_eof()
        try:
            yield watch, Peer(writer)
        finally:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            server.close()
            for transport in gc.get_objects():
                if issubclass(type(transport), asyncio.WriteTransport):
                    transport.abort()
            for _ in range(3):
                await asyncio.sleep(0)  # the loop calls connection_lost


def streams(handler: Callable[..., Any], **options: Any) -> Callable[[], Awaitable[asyncio.Server]]:
    return lambda: asyncio.start_server(handler, "127.0.0.1", 0, **options)


def protocols(factory: Callable[[], asyncio.Protocol]) -> Callable[[], Awaitable[asyncio.Server]]:
    return lambda: asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)


# ---------------------------------------------------------------- a task that waits


@pytest.mark.parametrize(
    ("handler", "code"),
    [
        (leaky.waits_for_ever, "await gate.wait()"),
        (leaky.waits_in_wait_for, "await asyncio.wait_for(asyncio.Event().wait(), 1000)"),
    ],
)
async def test_the_line_that_waits_and_the_callback(handler: Callable[..., Any], code: str) -> None:
    async with served(streams(handler)) as (watch, peer):
        clues = await peer.server(watch, waits_at(code))
    assert about(clues, code).startswith("task 'Task-")
    assert about(clues, code).endswith(f"' holds it and waits in `{code}`")
    assert about(clues, f"async def {handler.__name__}") == f"accepted by {handler.__name__}"
    assert len(clues) == 2


async def test_a_line_further_in_a_task_with_a_name_and_a_callback_with_arguments() -> None:
    async with served(streams(functools.partial(leaky.starts_a_session, []))) as (watch, peer):
        clues = await peer.server(watch, waits_at("self.over.wait()"))
    waits = "task 'session one' holds it and waits in `await self.over.wait()`"
    assert about(clues, "await self.over.wait()") == waits
    assert about(clues, "def starts_a_session") == "accepted by starts_a_session"


async def test_all_tasks_that_share_it() -> None:
    async with served(streams(leaky.pumps)) as (watch, peer):
        clues = await peer.server(watch, waits_at("drained.wait()"))
    assert "holds it and waits in" in about(clues, "async with asyncio.TaskGroup() as group")
    assert "holds it and waits in" in about(clues, "await drained.wait()")


async def test_a_task_that_has_not_begun() -> None:
    async with served(streams(leaky.waits_for_ever)) as (watch, peer):
        streams_of_another = await leaky.Pool(peer.server_end.pair[0]).connect()
        task = asyncio.create_task(leaky.waits_for_ever(*streams_of_another), name="late")
        clues = Peer(streams_of_another[1]).client(watch)
        task.cancel()
    assert about(clues, "async def waits_for_ever") == "task 'late' holds it and has not begun to run"


async def test_through_tls(tmp_path: Path) -> None:
    key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "cert.pem")
    subject = ["-subj", "/CN=localhost", "-days", "2"]
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate]
    subprocess.run([*make, *subject], check=True, capture_output=True, timeout=60)
    mine, theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    mine.check_hostname, mine.verify_mode = False, ssl.CERT_NONE
    theirs.load_cert_chain(certificate, key)
    async with served(streams(leaky.waits_for_ever, ssl=theirs), ssl=mine) as (watch, peer):
        clues = await peer.server(watch, waits_at("gate.wait()"))
    assert "holds it and waits in" in about(clues, "await gate.wait()")
    assert about(clues, "async def waits_for_ever") == "accepted by waits_for_ever"


# ---------------------------------------------------------------- a handler that has ended


async def test_a_handler_that_left_its_writer_in_a_list() -> None:
    async with served(streams(leaky.leaves_it_in_a_list)) as (watch, peer):
        clues = await peer.server(watch, has_ended)
    returned = "leaves_it_in_a_list returned after `LEFT.append(writer)` without closing it"
    assert about(clues, "LEFT.append(writer)") == returned
    name = leaky.__name__
    assert about(clues, "LEFT: list[Writer]") == f"`{name}.LEFT[0]` keeps it alive; `{name}.LEFT` is a global"
    assert about(clues, "async def leaves_it_in_a_list") == "accepted by leaves_it_in_a_list"
    assert len(clues) == 3


async def test_an_exception_swallowed_before_close() -> None:
    async with served(streams(leaky.swallows)) as (watch, peer):
        clues = await peer.server(watch, has_ended)
    returned = 'swallows returned after `print("no number")`, in `except ValueError:`, without closing it'
    assert about(clues, 'print("no number")') == returned
    not_reached = "`writer.close()  # in vain` was not reached"
    assert about(clues, "writer.close()  # in vain") == not_reached
    raised = about(clues, "return int(line)")
    if SAYS_WHAT_WAS_CAUGHT:
        assert raised.startswith("`return int(line)` raised ValueError: invalid literal for int()")
        (clause,) = (
            n for n, text in enumerate(PROGRAM.read_text().splitlines(), 1) if "except ValueError" in text
        )
        assert raised.endswith(f"leaky.py:{clause}")
    else:
        assert raised == ""
    assert f"`{leaky.__name__}.CLIENTS['all']` keeps it alive" in about(clues, "CLIENTS: dict")


async def test_an_exception_suppressed_before_close() -> None:
    async with served(streams(leaky.suppresses)) as (watch, peer):
        clues = await peer.server(watch, has_ended)
    assert "suppresses returned after" in about(clues, "with contextlib.suppress(LookupError)")
    if SAYS_WHAT_WAS_CAUGHT:
        assert about(clues, "raise LookupError").endswith(
            "raised LookupError: no b'hello\\r\\n'; suppresses caught it"
        )


async def test_an_exception_that_nobody_caught_is_not_said_to_be_caught() -> None:
    async with served(streams(leaky.hands_to_one_that_fails)) as (watch, peer):
        clues = await peer.server(watch, lambda found: has_ended(found) and not found.waiting)
    ended = "fails_with ended after `await fails(line)` with LookupError: no b'hello\\r\\n'"
    assert about(clues, "await fails(line)") == ended
    assert "caught" not in str(clues)


async def test_looking_collects_no_garbage() -> None:
    """Else it would close the connection of a handler that nothing refers to."""
    inside: list[str] = []

    def note(phase: str, info: dict[str, int]) -> None:
        frame: FrameType | None = sys._getframe()
        while frame is not None:
            if frame.f_code.co_name in ("find", "keeper"):
                inside.append(frame.f_code.co_name)
            frame = frame.f_back

    async with served(streams(leaky.leaves_it_in_a_list)) as (watch, peer):
        await peer.server(watch, has_ended)
        thresholds = gc.get_threshold()
        gc.callbacks.append(note)
        gc.set_threshold(1, 1, 1)  # as often as can be
        try:
            find([peer.server_end.pair])
            assert "find" in inside, "left alone it collects"
            inside.clear()
            look([peer.server_end], watch)
        finally:
            gc.set_threshold(*thresholds)
            gc.callbacks.remove(note)
    assert inside == []


@pytest.mark.skipif(
    WRITERS_CLOSE_THEMSELVES, reason="from 3.13 on a writer that nobody refers to closes itself"
)
async def test_a_writer_that_nobody_refers_to() -> None:
    async with served(streams(leaky.forgets)) as (watch, peer):
        clues = await peer.server(watch, has_ended)
    assert "forgets returned after" in about(clues, 'await reader.readuntil(b"\\n")')
    accepted = "accepted by forgets; nothing in the program refers to it any more"
    assert about(clues, "async def forgets") == accepted
    assert len(clues) == 2


async def test_one_that_was_closed_and_is_still_sending() -> None:
    async with served(streams(leaky.closes_with_much_unsent)) as (watch, peer):
        clues = await peer.server(watch, has_ended)
    (returned,) = (what for _, what in clues if "returned after `writer.close()`" in what)
    assert "without closing" not in returned
    assert returned.endswith("bytes still unsent")
    assert "not reached" not in str(clues)


async def test_a_handler_that_is_not_watched_is_named_all_the_same() -> None:
    """It had ended before the watch began."""
    async with served(streams(leaky.leaves_it_in_a_list)) as (_, peer):
        while not leaky.LEFT:
            await asyncio.sleep(0)
        with Watch() as later:
            clues = await peer.server(later, lambda found: found.kept)
    assert about(clues, "LEFT.append(writer)") == ""
    assert "keeps it alive" in about(clues, "LEFT: list[Writer]")
    assert about(clues, "async def leaves_it_in_a_list") == "accepted by leaves_it_in_a_list"


# ---------------------------------------------------------------- no task at all


async def test_a_protocol_that_something_keeps() -> None:
    async with served(protocols(leaky.Lines)) as (watch, peer):
        clues = await peer.server(watch, lambda found: found.kept)
    kept = "`Lines.peers['one']` keeps it alive; `Lines.peers` is a class attribute"
    assert about(clues, "peers: dict[str, Lines]") == kept
    assert about(clues, "class Lines") == "accepted by Lines"
    assert len(clues) == 2


async def test_a_protocol_that_nothing_keeps() -> None:
    async with served(protocols(leaky.Silent)) as (watch, peer):
        clues = await peer.server(watch, lambda found: found.accepted)
    assert about(clues, "class Silent") == "accepted by Silent; nothing in the program refers to it any more"


# ---------------------------------------------------------------- clients


async def test_a_pool_that_was_not_drained() -> None:
    async with served(streams(leaky.waits_for_ever)) as (watch, peer):
        pool = leaky.Pool(peer.server_end.pair[0])  # this
        pool.idle.append(await pool.connect())
        clues = Peer(pool.idle[0][1]).client(watch)
        await pool.drain()
    opened = "opened in Pool.connect: `return await asyncio.open_connection(*self.address)`"
    assert about(clues, "return await asyncio.open_connection(") == opened
    kept = "`pool.idle[0][1]` keeps it alive; `pool` is a local of test_a_pool_that_was_not_drained"
    assert about(clues, "pool = leaky.Pool(peer.server_end.pair[0])  # this", Path(__file__)) == kept
    assert about(clues, "self.idle: list") == "it lies in `Pool.idle`"


async def test_where_a_connection_was_opened_within_a_time_limit() -> None:
    """Before 3.12 wait_for opens it in a task of its own: the line that made the task counts."""
    async with served(streams(leaky.waits_for_ever)) as (watch, peer):
        _, writer = await leaky.Pool(peer.server_end.pair[0]).connect_in_time()
        clues = Peer(writer).client(watch)
        writer.close()
    assert "opened in Pool.connect_in_time" in about(
        clues, "return await asyncio.wait_for(asyncio.open_connection("
    )


async def test_a_plain_socket() -> None:
    async with served(streams(leaky.waits_for_ever)) as (watch, peer):
        with leaky.Pool(peer.server_end.pair[0]).connect_plainly() as sock:
            ends = (normal(*sock.getsockname()), normal(*sock.getpeername()))
            clues = look([End("client", ends, State.ESTABLISHED)], watch)[ends].clues
    assert "opened in Pool.connect_plainly" in about(clues, "return socket.create_connection(self.address)")
    assert "`sock`, a local of test_a_plain_socket, keeps it alive" in str(clues)


# ---------------------------------------------------------------- several at once, and none


async def test_connections_that_the_same_lines_hold_are_told_once() -> None:
    async with served(streams(leaky.waits_for_ever)) as (watch, peer):
        pool = leaky.Pool(peer.server_end.pair[0])
        pool.idle = [await pool.connect() for _ in range(3)]
        ends = [Peer(writer).client_end for _, writer in pool.idle]
        (held,) = held_open(ends, watch)
        (many,) = held_open(ends * 10, watch)
        await pool.drain()
    assert len(held.ends) == 3
    assert len(many.ends) + many.more == 30
    assert f"({many.more} more were not looked into):" in str(many).splitlines()[0]
    first, second, *_ = str(held).splitlines()
    assert first == "  the client's ends of 3 connections, in ESTABLISHED, are held in this process:"
    assert second.startswith("    ") and "opened in Pool.connect" in second


async def test_a_connection_of_another_process_is_left_out() -> None:
    nowhere = (("127.0.0.1", 1), ("127.0.0.1", 2))
    with Watch() as watch:
        assert look([End("server", nowhere, State.CLOSE_WAIT)], watch) == {}
        assert held_open([End("server", nowhere, State.CLOSE_WAIT)], watch) == ()
        assert held_open([], watch) == ()


class Broken(asyncio.Transport):
    """Somebody's transport whose methods do not work."""

    def __init__(self, addresses: dict[str, tuple[str, int]]) -> None:
        super().__init__()
        self.addresses = addresses

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.addresses[name]

    def get_protocol(self) -> asyncio.BaseProtocol:
        return asyncio.Protocol()

    def is_closing(self) -> bool:
        raise ZeroDivisionError("by design")

    def abort(self) -> None: ...


async def test_an_object_that_cannot_be_asked_does_not_hide_what_the_test_has_to_say() -> None:
    ends = (("127.0.0.1", 1), ("127.0.0.1", 2))
    broken = Broken({"sockname": ends[0], "peername": ends[1]})
    with Watch() as watch:
        (held,) = held_open([End("server", ends, State.CLOSE_WAIT)], watch)
    assert "could not be found: ZeroDivisionError: by design" in str(held)
    del broken


# ---------------------------------------------------------------- a watch changes nothing


async def test_the_loop_is_left_as_it_was() -> None:
    loop = asyncio.get_running_loop()
    made = []

    def factory(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
        made.append(coro)
        return asyncio.Task(coro, loop=loop, **options)

    loop.set_task_factory(factory)
    try:
        with Watch():
            assert loop.get_task_factory() is not factory
            await asyncio.create_task(asyncio.sleep(0))
        assert loop.get_task_factory() is factory
        assert len(made) == 1, "the factory that was there still makes the tasks"
    finally:
        loop.set_task_factory(None)


async def test_a_task_is_made_whatever_it_is_given() -> None:
    async def takes(transport: asyncio.Transport) -> str:
        return "ran"

    with Watch():
        assert await asyncio.create_task(takes(Broken({}))) == "ran"


async def test_tasks_keep_their_names_and_kinds() -> None:
    async def nothing() -> None: ...

    with Watch():
        plain, named = asyncio.create_task(nothing()), asyncio.create_task(nothing(), name="mine")
        assert plain.get_name().startswith("Task-")
        assert named.get_name() == "mine"
        assert repr(plain).startswith("<Task pending name='Task-")
        await asyncio.gather(plain, named)


async def test_what_a_handler_had_is_let_go_when_it_has_ended() -> None:
    class Thing: ...

    things: list[weakref.ref[Thing]] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        thing = Thing()
        things.append(weakref.ref(thing))
        leaky.LEFT.append(writer)

    gc.disable()
    try:
        async with served(streams(handler)) as (watch, peer):
            await peer.server(watch, has_ended)
            assert things[0]() is None
    finally:
        gc.enable()


@pytest.mark.skipif(not SAYS_WHAT_WAS_CAUGHT, reason="sys.monitoring came with 3.12")
async def test_exceptions_are_watched_no_longer_than_needed() -> None:
    tools = [sys.monitoring.get_tool(n) for n in range(6)]  # type: ignore[attr-defined,unused-ignore]
    with Watch(), Watch():
        within = [sys.monitoring.get_tool(n) for n in range(6)]  # type: ignore[attr-defined,unused-ignore]
        assert within.count("tcp-testbed") == 1
    assert [sys.monitoring.get_tool(n) for n in range(6)] == tools  # type: ignore[attr-defined,unused-ignore]
