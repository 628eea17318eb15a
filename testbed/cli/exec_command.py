"""`testbed exec`: any command in a private network, and what happened to its connections."""

from __future__ import annotations

import contextlib
import io
import shlex
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import click

from ..errors import UsageError
from ..explanation import Source
from ..explanation.survey import Survey
from ..findings import Severity
from ..net.command import exec_private
from ..report import folder
from ..report.markdown import summary
from ..report.surveyed import Way
from . import completing
from .output import append_markdown, markdown_option
from .remarks import remark
from .telling import as_text, print_survey, worst_found

LOOPBACK_MTU = 65536


class _WithFilter(click.Command):
    """A command line on which a filter may stand before ``--`` and the command: click alone drops a
    leading ``--``, after which ``-- CMD`` and ``CMD`` look the same."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given = list(args)
        rest = super().parse_args(ctx, args)
        argv = ctx.params.get("argv") or ()
        before = len(given) - len(argv) - 1
        ctx.params["dashed"] = before >= 0 and given[before] == "--"
        return rest


@click.command(
    "exec",
    cls=_WithFilter,
    context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False},
)
@click.option(
    "--mtu",
    type=click.IntRange(68, 65536),
    default=LOOPBACK_MTU,
    show_default=True,
    help="MTU of the private loopback, in bytes.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Capture its TCP, explain it, and write report, page, capture and ladders to DIR.",
)
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning"]),
    help="Capture and explain; exit 1 where CMD succeeded and a finding is this bad.",
)
@markdown_option
@click.option(
    "--net",
    type=click.Choice(["private", "host"]),
    default="private",
    show_default=True,
    help="A private network, or the host's own.",
)
@click.option(
    "-i",
    "--interface",
    metavar="IFACE",
    shell_complete=completing.interfaces,
    help="With --net host: the interface to capture on.",
)
@click.argument(
    "argv",
    nargs=-1,
    type=click.UNPROCESSED,
    metavar="[FILTER] -- CMD [ARG]...",
    shell_complete=completing.files,
)
def command(
    mtu: int,
    out: Path | None,
    fail_on: str | None,
    markdown_file: Path | None,
    net: Literal["private", "host"],
    interface: str | None,
    argv: tuple[str, ...],
    dashed: bool,
) -> int:
    """Run CMD in a private network: a loopback and nothing else, gone when CMD has ended, with whatever
    CMD has left running in it.

    As an ordinary user it runs in a user namespace, in which it may capture and set the
    network's TCP settings.  The exit status is CMD's; 128 + N when signal N ended it.

    With --out, --fail-on or --markdown all its TCP is captured, and explained on stderr after CMD's own
    output. The capture ends before what CMD has left running is ended: that leaves no finding. With
    --net host it is captured on IFACE, as far as FILTER (pcap-filter(7)) says, and what CMD leaves
    running is left.

    \b
    testbed exec -- pytest tests/
    testbed exec --out report --fail-on error -- pytest tests/
    testbed exec --net host -i eth0 --out report 'tcp port 5432' -- ./my-tests
    """
    if not argv:
        raise UsageError("say which command to run: testbed exec -- CMD")
    wanted: tuple[str, ...] = ()
    if net == "host":
        wanted, argv = _filter_and_command(argv, dashed)
    elif interface is not None:
        raise UsageError("-i goes with --net host: a private network has lo alone")
    if out is None and fail_on is None and markdown_file is None:
        if net == "host":
            raise UsageError("--net host does nothing without --out, --fail-on or --markdown")
        return exec_private(list(argv), mtu=mtu)
    if interface is None and net == "host":
        raise UsageError("say which interface of the host to capture on: --net host -i IFACE")
    from ..lab.suite import record

    with _capture_in(out) as path:
        recorded = record(
            list(argv), path, private=net == "private", mtu=mtu, interface=interface or "lo", filter=wanted
        )
        sys.stdout.flush()
        with Survey(limit=folder.MOST, rows=out is not None, live=recorded.live) as survey:
            survey.read(_named(path, out))
            told = worst_found(survey)
            click.echo(err=True)
            print_survey(survey, told, {}, to=sys.stderr, more=_where(out))
            if recorded.problem:
                remark(f"the capture ended before the command: {recorded.problem}")
            if markdown_file is not None:
                append_markdown(markdown_file, summary(f"testbed exec -- {shlex.join(argv)}", survey, told))
            if out is not None:
                command_line = _again(net, interface, mtu, out, fail_on, wanted, argv)
                way = Way("testbed exec", command_line, [str(path)], shlex.join(argv))
                text = as_text(survey, told)
                for one in folder.write(out, lambda: [str(path)], survey, text, way=way):
                    remark(one)
            return recorded.status or _verdict(survey, fail_on, recorded.live.complete)


def _again(
    net: str,
    interface: str | None,
    mtu: int,
    out: Path,
    fail_on: str | None,
    wanted: Sequence[str],
    argv: Sequence[str],
) -> str:
    """The command line, with what was chosen alone."""
    words = ["testbed", "exec", "--out", str(out)]
    words += ["--fail-on", fail_on] if fail_on is not None else []
    words += ["--mtu", str(mtu)] if mtu != LOOPBACK_MTU else []
    words += ["--net", net, "-i", interface, *wanted] if interface is not None else []
    return shlex.join([*words, "--", *argv])


def _filter_and_command(argv: tuple[str, ...], dashed: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if dashed:
        return (), argv
    if "--" not in argv or argv[-1] == "--":
        raise UsageError("with --net host write -- before the command; what stands before it is the filter")
    at = argv.index("--")
    return argv[:at], argv[at + 1 :]


@contextlib.contextmanager
def _capture_in(out: Path | None) -> Iterator[Path]:
    """Where the capture goes: into the folder, which must be there before the command is started."""
    if out is None:
        with tempfile.TemporaryDirectory(prefix="testbed-") as made:
            yield Path(made) / "capture.pcap"
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "capture.pcap").write_bytes(b"")
    except OSError as error:
        raise UsageError(f"--out {out}: {error.strerror}") from error
    yield out / "capture.pcap"


def _named(path: Path, out: Path | None) -> Source:
    """The capture; without a folder it has no name that anybody could use."""
    if out is not None:
        return str(path)
    stream = io.FileIO(path)
    stream.name = "what was captured"
    return stream


def _where(out: Path | None) -> str:
    if out is None:
        return "--out DIR keeps them"
    return f"{out}/index.html shows them, {out}/report.json has all"


def _verdict(survey: Survey, fail_on: str | None, complete: bool | None) -> int:
    """The exit status of a command that succeeded."""
    if fail_on is None:
        return 0
    if survey.worst is not None and survey.worst.rank <= Severity(fail_on).rank:
        return 1
    if complete is False or not survey.chosen:
        why = "packets are missing from the capture" if survey.chosen else "no TCP connection was seen"
        remark(f"inconclusive: {why}")
        return 1
    return 0
