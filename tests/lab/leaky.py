"""A program as users write them: each handler, protocol and pool here leaves a connection open.

Tests look for its lines by what stands in them; a copy of it is what users' failing tests import.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any, TypeAlias

Reader: TypeAlias = asyncio.StreamReader
Writer: TypeAlias = asyncio.StreamWriter

LEFT: list[Writer] = []
CLIENTS: dict[str, set[Writer]] = {"all": set()}
GATES: list[asyncio.Event] = []  # a task that waits for what nobody else knows is garbage


# a task waits


async def waits_for_ever(reader: Reader, writer: Writer) -> None:
    await reader.readline()
    GATES.append(gate := asyncio.Event())
    await gate.wait()
    writer.close()


async def waits_in_wait_for(reader: Reader, writer: Writer) -> None:
    await reader.readline()
    await asyncio.wait_for(asyncio.Event().wait(), 1000)
    writer.close()


class Session:
    def __init__(self, reader: Reader, writer: Writer) -> None:
        self.reader, self.writer = reader, writer
        self.over = asyncio.Event()

    async def run(self) -> None:
        await self.reader.readline()
        await self.finish()

    async def finish(self) -> None:
        await self.over.wait()
        self.writer.close()


def starts_a_session(running: list[asyncio.Task[None]], reader: Reader, writer: Writer) -> None:
    running.append(asyncio.create_task(Session(reader, writer).run(), name="session one"))


async def pumps(reader: Reader, writer: Writer) -> None:
    async with asyncio.TaskGroup() as group:
        GATES.append(gate := asyncio.Event())
        group.create_task(pump(reader, gate))
    writer.close()


async def pump(reader: Reader, drained: asyncio.Event) -> None:
    await reader.readline()
    await drained.wait()


# a handler has ended


async def leaves_it_in_a_list(reader: Reader, writer: Writer) -> None:
    await reader.readline()
    LEFT.append(writer)


async def swallows(reader: Reader, writer: Writer) -> None:
    CLIENTS["all"].add(writer)
    try:
        line = await reader.readline()
        writer.write(b"%d" % number_in(line))
        writer.close()  # in vain
    except ValueError:
        print("no number")


def number_in(line: bytes) -> int:
    return int(line)


async def suppresses(reader: Reader, writer: Writer) -> None:
    LEFT.insert(0, writer)
    with contextlib.suppress(LookupError):
        await fails(await reader.readline())
        writer.close()


async def fails(line: bytes) -> None:
    raise LookupError(f"no {line!r}\nat all")


async def hands_to_one_that_fails(reader: Reader, writer: Writer) -> None:
    LEFT.extend([writer])
    await asyncio.gather(fails_with(writer, await reader.readline()), return_exceptions=True)


async def fails_with(writer: Writer, line: bytes) -> None:
    await fails(line)
    writer.close()


async def forgets(reader: Reader, writer: Writer) -> None:
    await reader.readuntil(b"\n")


async def closes_with_much_unsent(reader: Reader, writer: Writer) -> None:
    await reader.readline()
    writer.write(bytes(50_000_000))
    writer.close()


# no task at all


class Lines(asyncio.Protocol):
    peers: dict[str, Lines] = {}  # noqa: RUF012

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.peers["one"] = self

    def eof_received(self) -> bool:
        return True


class Silent(asyncio.Protocol):
    def eof_received(self) -> bool:
        return True


# clients


class Pool:
    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.idle: list[tuple[Reader, Writer]] = []

    async def fetch(self, line: bytes) -> bytes:
        reader, writer = self.idle.pop() if self.idle else await self.connect()
        writer.write(line)
        answer = await reader.readline()
        self.idle.append((reader, writer))
        return answer

    async def connect(self) -> tuple[Reader, Writer]:
        return await asyncio.open_connection(*self.address)

    async def connect_in_time(self) -> tuple[Reader, Writer]:
        return await asyncio.wait_for(asyncio.open_connection(*self.address), 10)

    def connect_plainly(self) -> socket.socket:
        return socket.create_connection(self.address)

    async def drain(self) -> None:
        for _, writer in self.idle:
            writer.close()
            await writer.wait_closed()
