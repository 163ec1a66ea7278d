"""The one way in which this package compiles a kernel.

numba has no types for its decorator; the casts here are the boundary, so that a kernel keeps the
types that its Python source states. Kernels have explicit signatures: they are compiled (or read
from the cache on disk) when their module is loaded, never in the middle of a tick.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba as nb

_Function = TypeVar("_Function", bound=Callable[..., Any])


def kernel(signature: str, *, nogil: bool = False) -> Callable[[_Function], _Function]:
    """Compile with `signature`; `nogil` lets other threads run meanwhile."""

    def compile_(function: _Function) -> _Function:
        return cast("_Function", nb.njit(signature, cache=True, nogil=nogil)(function))

    return compile_


def kernel_inline(function: _Function) -> _Function:
    """A part of kernels of the same file, put into each of them."""
    return cast("_Function", nb.njit(inline="always")(function))
