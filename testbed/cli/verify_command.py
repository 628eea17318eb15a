"""`testbed verify`: how any server opens, idles, and says goodbye."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import click
from rich.console import Group
from rich.live import Live
from rich.text import Text

from ..errors import UsageError
from ..render import junit
from ..render.escape import visible
from ..verify import report, terminal
from ..verify.checks import CHECKS, Check, find_check
from ..verify.dialogue import PROTOCOLS
from ..verify.outcome import Verdict
from ..verify.plan import PORT, Plan
from ..verify.profiles import PROFILES, find_profile, find_signal, recognise
from ..verify.result import Result, Verification
from ..verify.runner import estimate
from ..verify.survey import Survey
from ..verify.verification import verify
from . import completing
from .output import append_markdown, console, markdown_option, print_json, width

FILE = click.Path(dir_okay=False, path_type=Path)
INPUT = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
SECONDS = click.FloatRange(min=0, min_open=True, max=3600)


@click.command("verify", context_settings={"allow_interspersed_args": False})
@click.option(
    "--port", type=click.IntRange(1, 65535), default=PORT, show_default=True, help="{port} in CMD, and $PORT."
)
@click.option(
    "--connect", metavar="HOST:PORT", help="A server that runs already, instead of CMD: no signals."
)
@click.option("--protocol", type=click.Choice(PROTOCOLS), default="http", show_default=True)
@click.option("--path", default="/", show_default=True, help="HTTP: a page with a short reply.")
@click.option("--slow-path", metavar="PATH", help="HTTP: a page that takes a second or two.")
@click.option("--large-path", metavar="PATH", help="HTTP: a page of a megabyte or more.")
@click.option("--body", type=INPUT, metavar="FILE", help="HTTP: what is POSTed to --path, slowly.")
@click.option(
    "--request", type=INPUT, metavar="FILE", help="The bytes of a request, instead of the protocol's."
)
@click.option(
    "--slow-request", type=INPUT, metavar="FILE", help="The bytes of one that takes a second or two."
)
@click.option("--tls", is_flag=True, help="Speak TLS, whatever the certificate; look for close_notify.")
@click.option(
    "--profile",
    type=click.Choice(list(PROFILES)),
    metavar="NAME",
    help=f"How it is stopped: {', '.join(PROFILES)}.  [default: by the program's name]",
)
@click.option("--signal", "stop", metavar="NAME", help="The stop signal, instead of the profile's.")
@click.option("--grace", type=SECONDS, help="Seconds from the signal to its end.  [default: the profile's]")
@click.option(
    "--idle",
    type=SECONDS,
    default=15.0,
    show_default=True,
    help="Seconds for which its timeouts are awaited.",
)
@click.option("--start", type=SECONDS, default=30.0, show_default=True, help="Seconds it may take to listen.")
@click.option(
    "--check",
    "names",
    multiple=True,
    metavar="ID",
    shell_complete=completing.checks,
    help="This check; may be given again.",
)
@click.option("--repeat", type=click.IntRange(1, 100), default=1, show_default=True, help="How often each.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout (testbed.verify/1).")
@click.option("--junit", "junit_file", type=FILE, metavar="FILE", help="Write a JUnit report.")
@markdown_option
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write page, capture, ladders and the server's output for each check, and the reports.",
)
@click.option("--list-checks", is_flag=True, help="Print the table of checks, and leave.")
@click.argument(
    "argv",
    nargs=-1,
    type=click.UNPROCESSED,
    metavar="[-- CMD [ARG]...]",
    shell_complete=completing.files,
)
def command(
    port: int,
    connect: str | None,
    protocol: str,
    path: str,
    slow_path: str | None,
    large_path: str | None,
    body: Path | None,
    request: Path | None,
    slow_request: Path | None,
    tls: bool,
    profile: str | None,
    stop: str | None,
    grace: float | None,
    idle: float,
    start: float,
    names: tuple[str, ...],
    repeat: int,
    as_json: bool,
    junit_file: Path | None,
    markdown_file: Path | None,
    out: Path | None,
    list_checks: bool,
    argv: tuple[str, ...],
) -> int:
    """Verify how a server opens, idles and says goodbye: CMD is started in private networks, once for each
    check, and treated as real clients and a real deploy would treat it.

    \b
    testbed verify -- uvicorn app:app --port {port}
    testbed verify --slow-path /report --out evidence/ -- ./server
    testbed verify --protocol tcp --request ping -- redis-server --port {port}
    testbed verify --check stop-idle --repeat 5 -- node server.js
    testbed verify --list-checks

    Verdicts rest on packets and on the kernel's states.  Exit status: 0 for pass, warn, info and skipped; 1
    for a fail or an inconclusive; 3 when the server cannot be started or used.
    """
    if list_checks:
        _list(as_json)
        return 0
    row = find_profile(profile) if profile else recognise(argv)
    plan = Plan(
        command=argv,
        profile=row,
        port=port,
        connect=connect,
        protocol=protocol,
        request=_bytes(request),
        slow_request=_bytes(slow_request),
        path=path,
        slow_path=slow_path,
        large_path=large_path,
        body=_bytes(body),
        stop=find_signal(stop) if stop else row.stop,
        grace=grace or row.grace,
        idle=idle,
        start=start,
        tls=tls,
        env=tuple(os.environ.items()),
        cwd=Path.cwd(),
        out=None if out is None else out.absolute(),
    )
    checks = [find_check(name) for name in dict.fromkeys(names)] or list(CHECKS.values())
    done = _verify(plan, checks, repeat, quiet=as_json)
    if junit_file is not None:
        _write("--junit", junit_file, junit.report("testbed verify", report.junit_cases(done)))
    if markdown_file is not None:
        append_markdown(markdown_file, report.markdown(done))
    if as_json:
        print_json(report.to_json(done))
    else:
        _show(done)
    return done.exit_status


def _verify(plan: Plan, checks: list[Check], repeat: int, *, quiet: bool) -> Verification:
    """Verify, with the table filling on a terminal."""
    err = console(stderr=True)
    columns = width()
    if quiet:
        return verify(plan, checks, repeat=repeat)

    times: dict[str, float] = {}
    began: dict[str, float] = {}
    results: dict[str, Result] = {}

    def picture() -> Group | Text:
        now = time.monotonic()
        if not times:
            return Text("starting the server to see how it talks ...", "dim")
        return Group(
            *(
                terminal.row(results[check.id], columns, whole=False)
                if check.id in results
                else terminal.waiting(check, began, now, times[check.id], columns)
                for check in checks
            )
        )

    def begin(known: Survey, about: float, why: str) -> None:
        live.stop()  # what is printed beside it must not be drawn over
        console().print(terminal.header(plan, known, checks, about, why, columns))
        times.update({check.id: estimate(check, plan, known) for check in checks})
        if err.is_terminal:
            live.start(refresh=True)

    def performing(name: str) -> None:
        began.setdefault(name, time.monotonic())

    def keep(result: Result) -> None:
        results[result.check] = result

    live = Live(get_renderable=picture, console=err, refresh_per_second=8, transient=True)
    if err.is_terminal:
        live.start(refresh=True)
    try:
        return verify(plan, checks, repeat=repeat, began=begin, performing=performing, done=keep)
    finally:
        live.stop()


def _show(done: Verification) -> None:
    """The table, then in full what is wrong, then the counts."""
    out, columns = console(), width()
    for result in done.results:
        out.print(terminal.row(result, columns))
    out.print()
    for verdict in reversed(Verdict):  # the worst first
        for result in done.results:
            if result.verdict is verdict and (verdict.bad or verdict.complains):
                out.print(terminal.details(result, columns))
    if done.artifacts:
        out.print(Text(f"captures, ladders and reports: {visible(done.artifacts['folder'])}", "dim"))
    out.print(terminal.closing_line(done))


def _list(as_json: bool) -> None:
    if not as_json:
        console().print(terminal.listing(width()))
        return
    hidden = ("perform", "needs", "waits", "sysctls", "cases")
    rows: list[dict[str, Any]] = [
        {name: getattr(check, name) for name in check.__slots__ if name not in hidden}
        for check in CHECKS.values()
    ]
    print_json({"schema": "testbed.checks/1", "checks": rows})


def _bytes(path: Path | None) -> bytes | None:
    return None if path is None else path.read_bytes()


def _write(option: str, path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{option} {path}: {error.strerror}") from error
