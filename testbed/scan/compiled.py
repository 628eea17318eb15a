"""The door to compiled code: what is compiled, where the machine code is kept, and how it is called.

numba compiles (`compiling`), once; the machine code is kept in a folder of the user's, a file for each
function that Python calls, never beside the source, which may be read-only.  From then on LLVM loads the
files alone: numba, whose import takes as long as scanning millions of packets, is not imported.

The folder's name is made from the source of all that is compiled in, tables and limits of the pure core
among it, from the versions of numba and Python, and from the processor: what is out of date is never used.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import importlib.util
import os
import platform
import struct
import tempfile
import threading
from collections.abc import Callable
from functools import cache, cached_property, update_wrapper
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar, cast

import numpy as np

from ..errors import CapabilityError

PARTS: Final = ("scan", "tcp", "wire", "findings")
"""The parts whose source may be compiled in."""

NEEDED: Final = ("numpy", "numba")
REMEDY: Final = "pip install 'tcp-testbed[scan]'"

RETURNED: Final = {"None": 0, "Int": 1, "tuple[Int, Int]": 2}
"""What an entry may be annotated to return, and how many words that is."""

Function = TypeVar("Function", bound=Callable[..., Any])


def require(*modules: str) -> None:
    """Error handling: CapabilityError, with the remedy, where a module of the extra is not installed."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise CapabilityError(f"testbed scan needs {' and '.join(missing)}", REMEDY)


# ---- what is compiled


class Callee(NamedTuple):
    """A function that compiled code may call; `inline`: its code goes where it is called."""

    function: Callable[..., Any]
    inline: bool


callees: Final[list[Callee]] = []
"""In the order in which their modules are imported, which is that in which they call each other."""


def compiled(function: Function) -> Function:
    """Compile with what calls it."""
    callees.append(Callee(function, inline=False))
    return function


def inlined(function: Function) -> Function:
    """The same for what runs for every packet: the tables, which are long to hand over, are not."""
    callees.append(Callee(function, inline=True))
    return function


def entry(function: Function) -> Function:
    """Compile what Python calls; what it may return is in RETURNED."""
    return cast(Function, update_wrapper(Entry(function), function))


class Entry:
    """A compiled function.  Its arguments are whole numbers, arrays in C's order and `Placed`, always of
    the same types; they lie one after the other in memory, as numba lays them out, and their address is
    handed over.  While it runs other threads do."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.returns = RETURNED[function.__annotations__["return"]]
        self._call: Any = None

    def __call__(self, *arguments: Any) -> Any:
        call = self._call or self._made(arguments)
        answer, error = (ctypes.c_int64 * 2)(), ctypes.c_void_p()
        status = call(answer, ctypes.byref(error), b"".join(map(laid_out, arguments)))
        assert not status, "nothing compiled raises"
        return tuple(answer) if self.returns == 2 else answer[0] if self.returns else None

    def _made(self, arguments: tuple[Any, ...]) -> Any:
        with _LOCK:
            if self._call is None:
                self._call = _loaded(_code(self, arguments))
            return self._call


def laid_out(argument: Any) -> bytes:
    """An argument as numba lays it out in memory: of an array its owner, which compiled code does not ask
    for, its size, its elements' size and place, and its shape."""
    if isinstance(argument, Placed):
        return argument.laid_out
    if isinstance(argument, np.ndarray):
        assert argument.flags.c_contiguous
        sizes = argument.size, argument.itemsize
        words = 0, 0, *sizes, argument.ctypes.data, *argument.shape, *argument.strides
        return struct.pack(f"{len(words)}q", *words)
    return struct.pack("Q" if isinstance(argument, np.uint64) else "q", argument)


class Placed(tuple[Any, ...]):
    """A named tuple of arrays that stay where they are."""

    @cached_property
    def laid_out(self) -> bytes:
        return b"".join(map(laid_out, self))


# ---- machine code, kept and loaded

_LOCK: Final = threading.Lock()


class Code(NamedTuple):
    """Machine code, and the name of the function in it."""

    symbol: bytes
    object: bytes


def _code(of: Entry, arguments: tuple[Any, ...]) -> Code:
    """From the folder where it was put before; else compiled, and put there."""
    folder = cache_folder()
    path = folder / f"{of.function.__module__}.{of.function.__name__}" if folder is not None else None
    code = _kept(path) if path is not None else None
    if code is None:
        from .compiling import machine_code

        code = Code(*machine_code(of.function, arguments, of.returns))
        if path is not None:
            _keep(code, path)
    return code


def _keep(code: Code, path: Path) -> None:
    """Put it into a file, if that can be written: the sum of all that follows, the name, the code."""
    content = b"\n".join(code)
    with contextlib.suppress(OSError), tempfile.TemporaryDirectory(dir=path.parent) as folder:
        file = Path(folder) / path.name
        file.write_bytes(_sum(content) + content)
        file.replace(path)


def _kept(path: Path) -> Code | None:
    """What was put there; None where nothing was, or it is damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    size = len(_sum(b""))
    whole = content[:size] == _sum(content[size:])
    return Code(*content[size:].split(b"\n", 1)) if whole else None


def _sum(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def _loaded(code: Code) -> Any:
    """The function, to be called with places for its answer and its error, and its arguments."""
    from llvmlite import binding

    engine = _engine()
    engine.add_object_file(binding.ObjectFileRef.from_data(code.object))
    engine.finalize_object()
    kind = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)
    return kind(engine.get_function_address(code.symbol.decode()))


@cache
def _engine() -> Any:
    """What puts machine code in its place in memory."""
    from llvmlite import binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    machine = binding.Target.from_triple(binding.get_process_triple()).create_target_machine(jit=True)
    return binding.create_mcjit_compiler(binding.parse_assembly(""), machine)


@cache
def _digest(root: Path) -> str:
    """Names the state of all source that may be compiled in, and of what it is compiled by and for."""
    from llvmlite import binding

    numba = importlib.util.find_spec("numba")
    assert numba is not None and numba.origin is not None
    digest = hashlib.sha256(Path(numba.origin).with_name("_version.py").read_bytes())
    digest.update(f"{platform.python_version()} {platform.machine()} {binding.get_host_cpu_name()}".encode())
    with contextlib.suppress(RuntimeError):  # not every processor tells; numba then uses none
        digest.update(binding.get_host_cpu_features().flatten().encode())
    for part in PARTS:
        for file in sorted((root / part).glob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


@cache
def cache_folder() -> Path | None:
    """Where machine code goes; None where no folder can be written."""
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
    folder = cache_folder()
    return folder is None or not any(folder.iterdir())


def _user() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0


def _ours(folder: Path) -> bool:
    """Compiled code of somebody else's is not run."""
    return not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()
