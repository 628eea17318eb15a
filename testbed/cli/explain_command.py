"""`testbed explain`: what happened to the connections in a capture file."""

from __future__ import annotations

import contextlib
import io
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from rich.text import Text

from ..errors import UnreadableInput, UsageError
from ..explanation import Explained, Source
from ..explanation.survey import Survey, Wanted, worst_of
from ..findings import RULES, Rule, Severity
from ..render import junit as junit_xml
from ..report import folder, sarif, verdicts
from ..report.markdown import summary
from ..report.surveyed import Way
from . import completing
from .output import append_markdown, console, markdown_option, print_json, wrapping
from .remarks import remark
from .telling import as_text, print_survey, worst_found


@click.command("explain")
@click.argument("files", nargs=-1, metavar="FILE...", shell_complete=completing.files)
@click.option("--connection", "numbers", type=click.IntRange(1), multiple=True, help="Only connection N.")
@click.option(
    "--finding",
    "code_wanted",
    metavar="CODE",
    shell_complete=completing.findings,
    help="Only connections with this finding.",
)
@click.option("--host", help="Only connections with this address at either end.")
@click.option("--port", help="Only connections with this port at either end.")
@click.option(
    "--limit",
    type=click.IntRange(0),
    default=20,
    show_default=True,
    help="Connections told at most: the worst of them.",
)
@click.option("--ladder/--no-ladder", default=None, help="Draw them; by default when one is told.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout (testbed.explain/1).")
@click.option("--segments", is_flag=True, help="With --json: every segment of every connection.")
@click.option(
    "--fail-on", type=click.Choice(["error", "warning"]), help="Exit 1 where a finding is this bad."
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the report to DIR, a page of it, and the ladder and packets of what has findings.",
)
@click.option(
    "--junit",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a JUnit report to FILE: a case for each rule, failed as --fail-on says (else: error).",
)
@click.option(
    "--sarif",
    "sarif_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the findings to FILE as SARIF 2.1.0.",
)
@markdown_option
@click.option(
    "--code",
    metavar="CODE",
    shell_complete=completing.findings,
    help="Explain a finding's code instead of a file.",
)
def command(
    files: tuple[str, ...],
    numbers: tuple[int, ...],
    code_wanted: str | None,
    host: str | None,
    port: str | None,
    limit: int,
    ladder: bool | None,
    as_json: bool,
    segments: bool,
    fail_on: str | None,
    out: Path | None,
    junit: Path | None,
    sarif_file: Path | None,
    markdown_file: Path | None,
    code: str | None,
) -> int:
    """What happened to the connections in a capture: how each opened, who closed first, what was wrong.

    Reads pcap, pcapng, either gzipped, and what tcpdump printed, with or without hex; - is stdin.

    \b
    testbed explain incident.pcapng
    testbed explain incident.pcapng --finding missing-fin --ladder
    tcpdump -r incident.pcap -n | testbed explain -
    testbed explain --code missing-fin
    """
    if code is not None:
        return _tell_rule(_rule(code), as_json)
    if segments and not as_json:
        raise UsageError("--segments goes with --json; a ladder shows them as text: --ladder")
    if not files:
        raise UsageError("say which capture to explain: testbed explain FILE...")
    if code_wanted is not None:
        _rule(code_wanted)
    survey = Survey(
        Wanted(frozenset(numbers), code_wanted, host, port),
        limit=limit if out is None else max(limit, folder.MOST),
        rows=as_json or out is not None or junit is not None or sarif_file is not None,
        segments=segments,
    )
    with survey, _rereadable(files, again=out is not None or not as_json) as sources:
        for source in sources.open():
            survey.read(source)
        if numbers and max(numbers) > survey.tally.connections:
            raise UsageError(f"there is no connection {max(numbers)}: {survey.tally.connections} were found")
        told = worst_of(survey.told, limit)
        if as_json:
            sys.stdout.writelines(survey.json())
        else:
            drawn = told if ladder or (ladder is None and survey.chosen == 1) else []
            print_survey(survey, told, _with_segments(sources, drawn))
        if junit is not None:
            level = Severity(fail_on or "error")
            cases = verdicts.cases(survey.captures, survey.documents(), level)
            _write("--junit", junit, [junit_xml.report("testbed explain", cases)])
        if markdown_file is not None:
            append_markdown(
                markdown_file, summary(f"testbed explain {' '.join(files)}", survey, worst_found(survey))
            )
        if sarif_file is not None:
            _write("--sarif", sarif_file, sarif.pieces(survey.documents()))
        if out is not None:
            way = _way(files, numbers)
            for one in folder.write(out, sources.open, survey, as_text(survey, told), numbers, way=way):
                remark(one)
            remark(f"{out / 'index.html'} shows it")
    if fail_on is None:
        return 0
    if not survey.chosen:
        remark("inconclusive: no connection was seen that could be judged")
        return 1
    return int(survey.worst is not None and survey.worst.rank <= Severity(fail_on).rank)


def _way(files: Sequence[str], numbers: Sequence[int]) -> Way:
    """How to come to the same page again; what came through standard input is gone."""
    if "-" in files:
        return Way("testbed explain", title="" if len(files) > 1 else "standard input")
    asked = [word for number in numbers for word in ("--connection", str(number))]
    return Way("testbed explain", shlex.join(("testbed", "explain", *files, *asked)), files)


class _Sources:
    """The captures named on the command line, to be opened as often as needed."""

    def __init__(self, files: Sequence[str], stdin: io.FileIO | None) -> None:
        self._files = files
        self._stdin = stdin

    def open(self) -> list[Source]:
        if self._stdin is not None:
            self._stdin.seek(0)
        return [self._stdin if name == "-" and self._stdin is not None else name for name in self._files]


@contextlib.contextmanager
def _rereadable(files: Sequence[str], *, again: bool) -> Iterator[_Sources]:
    """With `again`, standard input goes to a temporary file first, for ladders and reports."""
    if files.count("-") > 1:
        raise UsageError("- is standard input, and there is one of it")
    if "-" not in files or not again:
        yield _Sources(files, None)
        return
    with tempfile.TemporaryFile() as copy, io.FileIO(copy.fileno(), closefd=False) as stdin:
        try:
            shutil.copyfileobj(sys.stdin.buffer, copy)
            copy.flush()
        except OSError as error:
            raise UnreadableInput(f"-: cannot be read: {error.strerror or error}") from error
        stdin.name = "-"
        yield _Sources(files, stdin)


def _with_segments(sources: _Sources, wanted: Sequence[Explained]) -> dict[int, Explained]:
    """The same connections with their segments, by id: of captures that are read again."""
    findings = {one.id: one.findings for one in wanted if one.packets <= folder.TOO_LONG}
    if not findings:
        return {}
    return {one.id: one.with_findings(findings[one.id]) for one in folder.again(sources.open(), findings)}


def _write(option: str, path: Path, pieces: Iterator[str] | Sequence[str]) -> None:
    try:
        with path.open("w", encoding="utf-8") as stream:
            stream.writelines(pieces)
    except OSError as error:
        raise UsageError(f"{option} {path}: {error.strerror}") from error


def _rule(code: str) -> Rule:
    for rule in RULES:
        if rule.code == code:
            return rule
    raise UsageError(f"no finding called {code!r}; there are: {', '.join(rule.code for rule in RULES)}")


def _tell_rule(rule: Rule, as_json: bool) -> int:
    if as_json:
        fields = ("code", "severity", "title", "meaning", "cause", "remedy", "rfc", "disproof")
        print_json({"schema": "testbed.finding/1", **{name: str(getattr(rule, name)) for name in fields}})
        return 0
    out = console()
    out.print(Text.assemble((rule.code, "bold"), f"  {rule.severity}: {rule.title}"))
    for label, text in (
        ("means", rule.meaning),
        ("cause", rule.cause),
        ("remedy", rule.remedy),
        ("disproof", rule.disproof),
        ("source", rule.rfc),
    ):
        wrapping().print(Text.assemble((f"  {label:9}", "dim"), text))
    return 0
