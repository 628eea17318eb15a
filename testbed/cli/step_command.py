"""`testbed step`: a scenario, one segment at a time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from rich.live import Live
from rich.text import Text

from ..errors import UsageError
from ..net.private import enter_private_network
from ..scenarios import Scenario, find
from ..stepper import interactive, scripted
from ..stepper.keys import KEYS, Press, parse_script
from ..stepper.play import View, standing, to_json
from ..stepper.screen import Screen
from ..stepper.session import SIDES, Done, Look, Session, stepping
from ..stepper.words import outcome
from . import completing
from .output import ascii_only, console, print_json, print_ladder, wrapping

NAMED = {"\r": "enter", "\n": "enter", " ": "space", "\x03": "q", "\x04": "q", "": "q"}
"""Keys that send no letter, and the end of input."""


def _keys_in_words() -> str:
    return "\n".join(f"{key.label:6} {key.what}" for key in KEYS)


@click.command(
    "step",
    epilog="\b\nKeys:\n" + _keys_in_words() + "\n\nIn a script they are words: enter, space, 1 to 9, "
    "d, D, a, c, ?, q; # begins a comment.",
)
@click.argument("name", required=False, shell_complete=completing.scenarios)
@click.option(
    "--script",
    type=click.Path(allow_dash=True, path_type=Path),
    help="Take the keys from FILE (- for standard input).",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout (testbed.step/1).")
def command(name: str | None, script: Path | None, as_json: bool) -> int:
    """Step through a scenario: every segment is held until you deliver it.

    Between two keys everything stands still, and both kernels' states, queues and timers are shown,
    with what RFC 9293 says comes next. No root is needed.

    \b
    testbed step four-way-close
    echo a | testbed step simultaneous-close --script - --json
    """
    if name is None:
        raise UsageError("say which scenario to step through; `testbed list` shows them")
    scenario = find(name)
    if script is None:
        if as_json:
            raise UsageError("--json needs --script: keys cannot be asked for where only JSON is printed")
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise UsageError("stepping needs a terminal; or give the keys by --script FILE")
        keys = None
    else:
        keys = _read(script)
    enter_private_network()
    return asyncio.run(_by_hand(scenario) if keys is None else _by_script(scenario, keys, as_json))


def _read(path: Path) -> list[Press]:
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
        return parse_script(text)
    except OSError as error:
        raise UsageError(f"--script {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise UsageError(f"--script {path}: it is no text") from None
    except UsageError as error:
        raise UsageError(f"--script {path}: {error}") from None


# ---------------------------------------------------------------- on a terminal


@contextlib.contextmanager
def _raw() -> Iterator[None]:
    """Keys as they are pressed, unseen; Ctrl-C is one of them."""
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor, termios.TCSANOW)
        after = termios.tcgetattr(descriptor)
        after[1] |= termios.OPOST  # lines go on beginning at the left
        termios.tcsetattr(descriptor, termios.TCSANOW, after)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


class _Keyboard:
    """Keys one by one, without holding up the event loop."""

    def __init__(self) -> None:
        self._keys: asyncio.Queue[str] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        loop.add_reader(sys.stdin.fileno(), self._read)
        for number in (signal.SIGTERM, signal.SIGHUP):  # leave the terminal as it was
            loop.add_signal_handler(number, self._keys.put_nowait, "q")

    def _read(self) -> None:
        data = os.read(sys.stdin.fileno(), 64).decode(errors="ignore")
        if data.startswith("\x1b"):  # an arrow or function key: none of ours
            return
        if not data:
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        for key in data or [""]:
            self._keys.put_nowait(NAMED.get(key, key))

    async def key(self, seconds: float) -> str | None:
        """The next one, None when none comes in `seconds`."""
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(self._keys.get(), seconds)
        return None

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())


async def _by_hand(scenario: Scenario) -> int:
    out = console()
    title, plain = _title(scenario), ascii_only()
    async with stepping(scenario) as session:
        keyboard = _Keyboard()
        try:
            with _raw(), Live(Text(), console=out, screen=True, auto_refresh=False) as live:

                def show(view: View) -> None:
                    size = out.size
                    screen = Screen(title, size.width, size.height, colour=not out.no_color, ascii_only=plain)
                    live.update(screen.draw(view), refresh=True)

                await interactive(session, keyboard.key, show)
        finally:
            keyboard.close()
        _show_end(session)
        return _status(session)


# ---------------------------------------------------------------- by a script


async def _by_script(scenario: Scenario, keys: Sequence[Press], as_json: bool) -> int:
    async with stepping(scenario) as session:
        await scripted(session, keys)
        last = session.look()
        if as_json:
            print_json(to_json(session, last))
        else:
            for number, done in enumerate(session.done, 1):
                _show_step(number, done)
            _show_standing(session, last)
            _show_end(session)
        return _status(session)


def _show_step(number: int, done: Done) -> None:
    out = console()
    arrow = "->" if ascii_only() else "→"
    out.print(Text.assemble(f"{number:3}  ", (f"{done.action} {done.held.event.line}", "bold")))
    ends = []
    for side in SIDES:
        before, after = done.before.end(side).state, done.after.end(side).state
        ends.append(f"{side} {before}" if before is after else f"{side} {before} {arrow} {after}")
    out.print(Text(f"     {ends[0]:36} {ends[1]}"))
    out.print(Text(f"     {outcome(done)}", "dim"))


def _show_standing(session: Session, last: Look) -> None:
    out = console()
    out.print()
    for side in SIDES:
        out.print(f"{side} stood still in {', '.join(standing(session, last, side))}")
    out.print()


def _show_end(session: Session) -> None:
    """What is left of it on the terminal: the whole ladder, and how it went."""
    print_ladder(session.ladder(_title(session.scenario)))
    if not session.over or session.problem or session.failed:
        console().print()
    for line in _verdict(session):
        wrapping().print(line)


def _title(scenario: Scenario) -> str:
    return f"{scenario.name}: {scenario.title}"


def _verdict(session: Session) -> Iterator[str]:
    name = session.scenario.name
    if session.problem:
        yield f"{name} broke off: {session.problem}"
    elif not session.over:
        yield f"{name} was left before it was over"
    for check in session.failed:
        yield f"not so that {check.statement}: {check.detail}"


def _status(session: Session) -> int:
    return 1 if session.problem or session.failed else 0
