"""How a server is asked to stop: its signal, and how long that may take.

Supervisors send SIGTERM; some servers finish what is under way only when asked by a signal of their
own, and take SIGTERM for "at once".  Who runs those behind a supervisor has to configure it
(systemd's KillSignal=, Docker's STOPSIGNAL), so a profile says what such a set-up does.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import PurePath
from types import MappingProxyType
from typing import Final, NamedTuple

from ..errors import UsageError


class Profile(NamedTuple):
    """One way to stop.

    programs  names under which the command is recognised
    stop      the signal that asks for a graceful end
    grace     seconds that may pass before a supervisor would kill it
    note      what to know, with the documentation it is from
    """

    name: str
    programs: tuple[str, ...]
    stop: signal.Signals
    grace: float
    note: str


_TERM, _INT, _QUIT = signal.SIGTERM, signal.SIGINT, signal.SIGQUIT

_ROWS: Final = (
    Profile("generic", (), _TERM, 10.0, "SIGTERM, as docker stop sends; SIGKILL follows after 10 s there"),
    Profile(
        "nginx", ("nginx",), _QUIT, 10.0,
        "QUIT is the graceful shutdown, TERM the fast one that cuts replies off (nginx.org, Controlling "
        "nginx)",
    ),
    Profile(
        "haproxy", ("haproxy",), signal.SIGUSR1, 10.0,
        "USR1 is the soft stop, TERM ends at once (haproxy management guide, 4. Stopping and restarting)",
    ),
    Profile(
        "apache", ("apache2", "httpd"), signal.SIGWINCH, 10.0,
        "WINCH is graceful-stop, TERM ends at once (httpd manual, Stopping and Restarting)",
    ),
    Profile("lighttpd", ("lighttpd",), _INT, 10.0, "INT is graceful, TERM ends at once (lighttpd(8))"),
    Profile(
        "gunicorn", ("gunicorn",), _TERM, 30.0,
        "TERM is graceful for graceful_timeout (30 s), INT and QUIT are not (gunicorn docs, Signal Handling)",
    ),
    Profile("uvicorn", ("uvicorn",), _TERM, 10.0, "TERM waits for requests under way; a second one does not"),
    Profile(
        "hypercorn", ("hypercorn",), _TERM, 10.0,
        "TERM waits 3 s for requests under way (graceful_timeout)",
    ),
    Profile(
        "postgres", ("postgres", "postmaster"), _INT, 30.0,
        "INT is the fast shutdown; TERM, the smart one, waits for all clients (postgres docs, 18.5)",
    ),
    Profile("redis", ("redis-server", "valkey-server"), _TERM, 10.0, "TERM saves if configured so, and ends"),
    Profile("memcached", ("memcached",), _TERM, 10.0, "TERM ends at once"),
    Profile("node", ("node", "nodejs"), _TERM, 10.0, "TERM ends at once unless the program handles it"),
    Profile("php-fpm", ("php-fpm",), _QUIT, 10.0, "QUIT is graceful, TERM is not (php-fpm(8))"),
)  # fmt: skip

PROFILES: Mapping[str, Profile] = MappingProxyType({row.name: row for row in _ROWS})
"""Every profile by name."""


def find_profile(name: str) -> Profile:
    """The profile of that name.  UsageError names the ones there are."""
    try:
        return PROFILES[name]
    except KeyError:
        raise UsageError(f"no profile called {name!r}; there are: {', '.join(PROFILES)}") from None


def recognise(command: tuple[str, ...]) -> Profile:
    """The profile of the program that `command` runs, by its name; else the generic one."""
    programs = [PurePath(command[0]).name] if command else []
    if "-m" in command[1:-1]:  # python -m uvicorn
        programs.append(command[command.index("-m") + 1])
    for program in programs:
        for row in _ROWS:
            if program in row.programs:
                return row
    return PROFILES["generic"]


def find_signal(text: str) -> signal.Signals:
    """``TERM``, ``SIGTERM``, ``sigterm`` or ``15``.  UsageError for anything else."""
    try:
        if text.isdecimal():
            return signal.Signals(int(text))
        return signal.Signals["SIG" + text.upper().removeprefix("SIG")]
    except (ValueError, KeyError):
        raise UsageError(f"no signal called {text!r}; such as TERM, QUIT, USR1, or a number") from None
