"""The door to numba: what is compiled, and where the compiled code is kept.

Compiled code is kept between runs in a folder of the user's, never beside the source, which may be
read-only.  The folder's name is made from the source of all that is compiled in, tables and limits of
the pure core among it, and from the versions of numba and Python: what is out of date is never used.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from ..errors import CapabilityError

PARTS: Final = ("scan", "tcp", "wire", "findings")
"""The parts whose source may be compiled in."""

NEEDED: Final = ("numpy", "numba")
REMEDY: Final = "pip install 'tcp-testbed[scan]'"

Function = TypeVar("Function", bound=Callable[..., Any])


def require(*modules: str) -> None:
    """Error handling: CapabilityError, with the remedy, where a module of the extra is not installed."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise CapabilityError(f"testbed scan needs {' and '.join(missing)}", REMEDY)


def _digest(root: Path) -> str:
    """Names the state of all source that may be compiled in."""
    import numba

    digest = hashlib.sha256(f"{numba.__version__} {platform.python_version()} {platform.machine()}".encode())
    for part in PARTS:
        for file in sorted((root / part).glob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def cache_folder() -> Path | None:
    """Where compiled code goes; None where no folder can be written."""
    root = Path(__file__).resolve().parents[1]
    base = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    for folder in (Path(base) / "testbed", Path(tempfile.gettempdir()) / f"testbed-{_user()}"):
        wanted = folder / _digest(root)
        try:
            wanted.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(wanted, os.W_OK) and _ours(wanted):
            return wanted
    return None


def nothing_cached() -> bool:
    """Whether everything has yet to be compiled."""
    folder = cache_folder() if "NUMBA_CACHE_DIR" not in os.environ else Path(os.environ["NUMBA_CACHE_DIR"])
    return folder is None or next(folder.rglob("*.nbc"), None) is None


def _user() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0


def _ours(folder: Path) -> bool:
    """Compiled code of somebody else's is not run."""
    return not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()


def compiled(function: Function) -> Function:
    """Compile when it is first called; from the folder where it was compiled before."""
    answer: Function = _jit(function, inline=False)
    return answer


def inlined(function: Function) -> Function:
    """The same for what runs for every packet: its code goes where it is called, so that the tables,
    which are long to hand over, are not handed over."""
    answer: Function = _jit(function, inline=True)
    return answer


def _jit(function: Callable[..., Any], *, inline: bool) -> Any:
    require(*NEEDED)
    import numba
    from numba.core import config

    # no counting of references: the callers hold all arrays, and nothing compiled makes one
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False, "forceinline": inline}
    options["cache"] = _caching(config)
    return numba.njit(**options)(function)


@functools.cache
def _caching(config: Any) -> bool:
    """Set the folder, once."""
    if "NUMBA_CACHE_DIR" in os.environ:
        return True
    folder = cache_folder()
    if folder is not None:
        config.CACHE_DIR = str(folder)
    return folder is not None
