"""The one way in which this package compiles a kernel.

numba has no types for its decorator, so the cast below is the boundary: a kernel keeps the
signature that its Python source states. Kernels are compiled at their first call and cached on
disk; `Generator.compile_kernels` makes those first calls before anything is timed.

A kernel may only call kernels of its own file: the disk cache looks at the caller's file alone,
so a change of a callee elsewhere would go unnoticed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np

Integer = int | np.int64
"""What a kernel computes with; outside of kernels it is always an int."""

_Function = TypeVar("_Function", bound=Callable[..., Any])


def kernel(*, nogil: bool = False) -> Callable[[_Function], _Function]:
    """Compile a function of arrays and numbers. `nogil` lets other threads run meanwhile."""
    return cast("Callable[[_Function], _Function]", numba.njit(cache=True, nogil=nogil))
