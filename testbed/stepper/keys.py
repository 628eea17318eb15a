"""What each key does, and scripts of them: words in a file, as many on a line as one likes."""

from __future__ import annotations

import enum
from typing import Final, NamedTuple

from ..errors import UsageError


class Command(enum.StrEnum):
    """What can be asked for."""

    DELIVER = "deliver"
    DROP = "drop"
    DUPLICATE = "duplicate"
    MARK = "mark"
    ALL = "all"
    GO_ON = "go on"
    HELP = "help"
    QUIT = "quit"


class Key(NamedTuple):
    """One row of the table.

    names  as a script writes them; one letter: the key itself
    label  how the line of keys calls it
    brief  what it does, in that line
    what   what it does, in full
    """

    command: Command
    names: tuple[str, ...]
    label: str
    brief: str
    what: str


KEYS: Final[tuple[Key, ...]] = (
    Key(Command.DELIVER, ("enter", "space"), "Enter", "deliver", "deliver the marked segment"),
    Key(Command.MARK, tuple("123456789"), "1-9", "mark", "mark another segment; the oldest is to begin with"),
    Key(Command.DROP, ("d",), "d", "drop", "lose the marked segment"),
    Key(Command.DUPLICATE, ("D",), "D", "double", "deliver the marked segment twice"),
    Key(Command.ALL, ("a",), "a", "all", "deliver one after the other, the oldest first, to the end"),
    Key(Command.GO_ON, ("c",), "c", "let go", "let everything go, and hold nothing any more"),
    Key(Command.HELP, ("?",), "?", "help", "this"),
    Key(Command.QUIT, ("q",), "q", "quit", "leave; what has not arrived never will"),
)

_BY_NAME: Final = {name: key.command for key in KEYS for name in key.names}


class Press(NamedTuple):
    """One key.  `number` is that of MARK, from 1."""

    command: Command
    number: int = 0


def press(name: str) -> Press | None:
    """What the key `name` means; None where it means nothing."""
    command = _BY_NAME.get(name)
    if command is None:
        return None
    return Press(command, int(name) if command is Command.MARK else 0)


def parse_script(text: str) -> list[Press]:
    """The keys of a script; ``#`` begins a comment.  UsageError that names the line of what is none."""
    pressed = []
    for number, line in enumerate(text.splitlines(), 1):
        for word in line.partition("#")[0].split():
            found = press(word)
            if found is None:
                names = ", ".join(
                    name for key in KEYS for name in key.names if key.command is not Command.MARK
                )
                raise UsageError(f"line {number}: {word!r} is no key; there are: {names} and 1 to 9")
            pressed.append(found)
    return pressed
