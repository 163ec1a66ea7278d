"""The one way in which this package compiles a kernel.

numba has no types for its decorator; the casts here are the boundary, so that a kernel keeps the
types that its Python source states. Kernels with explicit signatures are compiled (or read from
the cache on disk) when their module is loaded, those without by a warm-up when the server starts:
never in the middle of a tick.

A kernel counts no references unless it `allocates`: its arrays are all lent by the caller, who
outlives the call. numba counts one up and down wherever an array is handed on, atomically, which
took an eighth of the whole server's time, and keeps the compiler from moving loads over it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba as nb
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

_Function = TypeVar("_Function", bound=Callable[..., Any])
Bytes = npt.NDArray[np.uint8]
Index = int | np.int64


def kernel(
    signature: str | None = None, *, nogil: bool = False, allocates: bool = False
) -> Callable[[_Function], _Function]:
    """Compile with `signature`, or for the types of the first call.

    `nogil` lets other threads run meanwhile; what makes arrays of its own `allocates`.
    """
    # The one private option: numba has no public name for doing without its runtime.
    options: dict[str, Any] = {"cache": True, "nogil": nogil, "_nrt": allocates}

    def compile_(function: _Function) -> _Function:
        njit = cast("Any", nb.njit)
        compiler = njit(signature, **options) if signature else njit(**options)
        return cast("_Function", compiler(function))

    return compile_


def kernel_inline(function: _Function) -> _Function:
    """A part of kernels of the same file, put into each of them."""
    return cast("_Function", nb.njit(inline="always")(function))


# The compiler cannot copy in wide steps where it does not know that source and target are apart.
# The bounds of these are for the caller to know, who leaves COPY_BYTES of room behind both.

COPY_BYTES = 16
"""What `copy_16` and `unmask_16` read and write, whatever of it is wanted."""


# Builders of machine code, which numba calls with its own objects.
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false


def _copy_16(typing, out, to, source, start):
    def generate(context, builder, signature, args):
        target, origin = (_address(context, builder, signature, args, k) for k in (0, 2))
        builder.store(builder.load(origin, align=1), target, align=1)
        return context.get_dummy_value()

    return types.void(out, types.intp, source, types.intp), generate


def _unmask_16(typing, out, to, source, start, key):
    def generate(context, builder, signature, args):
        target, origin = (_address(context, builder, signature, args, k) for k in (0, 2))
        word = _address(context, builder, signature, (*args[:3], args[4]), 2, ir.IntType(32))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), 4), ir.Undefined)
        for lane in range(4):
            mask = builder.insert_element(
                mask, builder.load(word, align=1), ir.Constant(ir.IntType(32), lane)
            )
        data = builder.load(origin, align=1)
        builder.store(builder.xor(data, builder.bitcast(mask, data.type)), target, align=1)
        return context.get_dummy_value()

    return types.void(out, types.intp, source, types.intp, types.intp), generate


def _address(context, builder, signature, args, k, kind=None):
    """Where the flat array `args[k]` begins plus `args[k + 1]`, as a pointer to `kind`."""
    data = make_array(signature.args[k])(context, builder, args[k]).data
    kind = kind or ir.VectorType(ir.IntType(8), 16)
    return builder.bitcast(builder.gep(data, [args[k + 1]]), kind.as_pointer())


copy_16 = cast("Callable[[Bytes, Index, Bytes, Index], None]", intrinsic(_copy_16))
"""`copy_16(out, to, source, start)`: 16 bytes of one flat uint8 array into another."""
unmask_16 = cast("Callable[[Bytes, Index, Bytes, Index, Index], None]", intrinsic(_unmask_16))
"""As `copy_16`, exclusive-or the four bytes at `source[key:]`, again and again."""
