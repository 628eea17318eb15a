"""`testbed verify`: how any server opens, idles, and says goodbye."""

from __future__ import annotations

import os
import time
from pathlib import Path

import click

from ..verify.checks import CHECKS, find_check
from ..verify.plan import PORT, Plan
from ..verify.profiles import recognise
from ..verify.runner import look, run


@click.command("verify", context_settings={"allow_interspersed_args": False})
@click.option("--port", type=click.IntRange(1, 65535), default=PORT)
@click.option("--protocol", default="http")
@click.option("--check", "names", multiple=True)
@click.option("--idle", type=float, default=15.0)
@click.option("--grace", type=float, default=10.0)
@click.option("--slow-path", default=None)
@click.option("--large-path", default=None)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path))
@click.argument("argv", nargs=-1, type=click.UNPROCESSED)
def command(large_path, port, protocol, names, idle, grace, slow_path, out, argv):
    plan = Plan(
        command=argv,
        profile=recognise(argv), stop=recognise(argv).stop,
        port=port,
        protocol=protocol,
        idle=idle,
        grace=grace,
        slow_path=slow_path,
        large_path=large_path,
        env=tuple(os.environ.items()),
        cwd=Path.cwd(),
        out=out,
    )
    t = time.time()
    os.environ["COLUMNS"] = "200"
    known = look(plan)
    print(known, time.time() - t)
    checks = [find_check(n) for n in names] or list(CHECKS.values())
    for r in run(plan, known, checks):
        print(r.check, r.verdict, r.what, dict(r.telling.measured), round(r.seconds, 2))
        if r.verdict.complains:
            print("   hurts:", r.hurts(CHECKS[r.check]))
            print("   change:", r.change(CHECKS[r.check]))
    print(time.time() - t)
    return 0
