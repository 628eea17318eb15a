"""numba's part: from functions to machine code.  Imported only where that is not there yet."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from llvmlite import binding, ir
from numba import core
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target
from numba.extending import intrinsic, overload, register_jitable
from numba.np.numpy_support import from_dtype

from .ahead import fetch
from .compiled import Callee, callees

cgutils: Any = core.cgutils
compiler: Any = core.compiler
types: Any = core.types

ELSEWHERE: Final = ("llvm.", "memcpy", "memmove", "memset")
"""What machine code may call that is not in it: LLVM's own, and what every process has."""

# no counting of references: the callers hold all arrays, and nothing compiled makes one
_OPTIONS: Final[Any] = {"error_model": "numpy", "_nrt": False}

_registered: Final[set[Callee]] = set()


def machine_code(function: Any, arguments: tuple[Any, ...], returns: int) -> tuple[bytes, bytes]:
    """The name in it of what calls the function, and the machine code.

    arguments   like those of all later calls
    returns     how many words
    """
    for callee in callees:
        if callee not in _registered:
            _registered.add(callee)
            register_jitable(**_OPTIONS, forceinline=callee.inline)(callee.function)
    register_jitable(**_OPTIONS, forceinline=True)(function)
    unpacked = _unpacking(types.Tuple([_kind(argument) for argument in arguments]))

    def call(address: Any) -> Any:
        return function(*unpacked(address))

    flags = compiler.Flags()
    flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
    flags.error_model = "numpy"
    answer = (types.none, types.intp, types.UniTuple(types.intp, 2))[returns]
    typing, target = cpu_target.typing_context, cpu_target.target_context
    typing.refresh()
    target.refresh()
    result = compiler.compile_extra(typing, target, call, (types.voidptr,), answer, flags, {})
    library: Any = result.library
    with global_compiler_lock:
        library.finalize()
    functions = binding.parse_assembly(library.get_llvm_str()).functions
    assert all(one.name.startswith(ELSEWHERE) for one in functions if one.is_declaration)
    _, _, (code, _) = library.serialize_using_object_code()
    return result.fndesc.llvm_func_name.encode(), code


def _kind(argument: Any) -> Any:
    """numba's type for an argument, and for all others like it."""
    if isinstance(argument, tuple):
        return types.NamedTuple([_kind(one) for one in argument], type(argument))
    if isinstance(argument, np.ndarray):
        return types.Array(from_dtype(argument.dtype), argument.ndim, "C")
    return types.uint64 if isinstance(argument, np.uint64) else types.int64


def _unpacking(kinds: Any) -> Any:
    """What makes a tuple of the values that lie at an address (`compiled.laid_out`)."""

    def unpacked(typing_context: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            place = builder.bitcast(arguments[0], context.get_value_type(kinds).as_pointer())
            return builder.load(place)

        return kinds(address), generate

    return intrinsic(unpacked)


def _fetching(typing_context: Any, array: Any, index: Any, offset: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = signature.args[0]
        there = context.make_array(kind)(context, builder, arguments[0])
        item_pointer: Any = cgutils.get_item_pointer
        place = item_pointer(context, builder, kind, there, [arguments[1]], wraparound=False)
        line = cgutils.pointer_add(builder, place, arguments[2], cgutils.voidptr_t)
        word = cgutils.int32_t
        takes = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, word, word, word])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [cgutils.voidptr_t], takes)
        builder.call(prefetch, [line, word(0), word(3), word(1)])  # to read; keep it; data
        return context.get_dummy_value()

    return types.void(array, index, types.intp), generate


_fetched: Any = intrinsic(_fetching)


@overload(fetch, jit_options=_OPTIONS | {"forceinline": True}, strict=False)
def _fetch(array: Any, index: Any, offset: Any) -> Any:
    return lambda array, index, offset: _fetched(array, index, offset)
