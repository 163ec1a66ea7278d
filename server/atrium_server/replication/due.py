"""Which records a viewer gets in this tick, and which of them when not all fit. PURE.

See `gather` for the whole; the terms are explained there.
"""

# Kernels are compiled for the types they are called with; pyright would want annotations that
# numba does not read.
# pyright: reportMissingParameterType=false, reportUnknownParameterType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUntypedFunctionDecorator=false

from __future__ import annotations

import numba as nb
import numpy as np

from atrium_server.jit import kernel
from atrium_server.replication.state import (
    CHANGE_BEFORE,
    DELTA_AT,
    DELTA_BYTES,
    DISTANCE,
    ENTITY,
    FIT,
    LAST_CHANGE,
    LAST_PARTS,
    LAST_TICK,
    PARTS,
    RECORD_STRIDE,
    VEIL,
    WIDE_BYTES,
)
from atrium_shared import snapshot

LENGTH = np.array([[snapshot.record_length(f, p) for p in range(64)] for f in range(3)], np.int32)
PERIOD = np.array([1, 2, 4, 4, 4], np.int32)
"""By level: every how many ticks."""
LEVEL_PARTS = np.array([63, 63, 63, 1, 0], np.uint8)
_AGE_STRIDE = DELTA_BYTES + WIDE_BYTES
_WIDE = int(snapshot.Form.WIDE)
_FORM_BITS = 192


@nb.njit(inline="always")
def _level(distance, full_rate, half_rate, quarter_rate):
    if distance <= full_rate:
        return 0
    if distance <= half_rate:
        return 1
    if distance <= quarter_rate:
        return 2
    return 3 if distance <= 2 * quarter_rate else 4


@nb.njit(inline="always")
def _age_row(tick, last, change_before):
    """Row of the age whose delta brings a holder of tick `last` to `tick`, or -1."""
    age = tick - last
    if age == 1:
        return 0
    if age == 2:
        return 1
    if age == 4:
        return 2
    # Nothing changed since: what this client holds is also what was true one tick ago.
    return 0 if change_before <= last else -1


@nb.njit(inline="always")
def collect_due(held, high, tick, full_rate, half_rate, quarter_rate, age_ticks_max, viewer_parts,
                has_veils, brief, due, due_code, counts):
    """Note the due records of a viewer; returns (how many, their bytes with section heads).

    The three rates are the effective distances up to which they are given. Of silhouettes, which
    only a viewer that `has_veils` has, the root alone is told.
    """
    count = 0
    total = 0
    for i in range(high):
        e = held[i, ENTITY]
        if e < 0:
            continue
        last = np.int64(held[i, LAST_TICK])
        distance = np.int32(held[i, DISTANCE]).view(np.float32)
        level = _level(distance, full_rate, half_rate, quarter_rate)
        want = np.int64(brief[e, PARTS]) & viewer_parts & LEVEL_PARTS[level]
        if has_veils and held[i, VEIL]:
            want = np.int64(0)
        has_more = want & ~np.int64(held[i, LAST_PARTS])
        form, start = 0, 0
        if last >= 0:
            if brief[e, LAST_CHANGE] <= last and not has_more:
                continue
            # What missed its turn has another one later, but never so late that it gets too old.
            if level and (tick + i) & (PERIOD[level] - 1) and tick - last < min(
                2 * PERIOD[level], age_ticks_max - 1
            ):
                continue
            row = _age_row(tick, last, brief[e, CHANGE_BEFORE])
            if row >= 0 and not has_more:
                fit = brief[e, FIT + row]
                if fit >> 6 and not want & 7 & ~fit:
                    form = fit >> 6
                    start = DELTA_AT + row * _AGE_STRIDE + (DELTA_BYTES if form == _WIDE else 0)
        code = form << 6 | want
        if counts[code] == 0:
            total += 2
        counts[code] += 1
        due[count, 0] = i
        due[count, 1] = e * RECORD_STRIDE + start
        due_code[count] = code
        count += 1
        total += 1 + LENGTH[form, want]
    return count, total


@nb.njit(inline="always")
def _size(code, counts):
    """Bytes that one more record of `code` takes: index, record, and the head of a new section."""
    return 1 + LENGTH[code >> 6, code & 63] + (2 if counts[code] == 0 else 0)


@kernel(allocates=True)
def fit_budget(held, tick, count, allowed, age_ticks_max, due, due_code, counts):
    """Keep the due records of highest priority within `allowed` bytes; returns (count, bytes).

    What is about to be too old goes before everything else, the oldest first, and with fewer parts
    when it does not fit with all: a record larger than a slow link's tokens would else never go.
    """
    keys = np.empty(count, np.float32)
    for k in range(count):
        last = held[due[k, 0], LAST_TICK]
        # Who waits for the first record holds -1 - (tick of the enter); it counts 2 ticks more.
        age = tick - last if last >= 0 else tick + last + 3
        keys[k] = -age if 2 * age >= age_ticks_max else np.int32(
            held[due[k, 0], DISTANCE]
        ).view(np.float32) / np.float32(age + 1)
        counts[due_code[k]] = 0
    chosen = np.zeros(count, np.bool_)
    total = 0
    for k in np.argsort(keys):
        code = np.int64(due_code[k])
        size = _size(code, counts)
        if total + size > allowed and keys[k] < 0:
            code &= _FORM_BITS | 7
            size = _size(code, counts)
            if total + size > allowed:
                code &= _FORM_BITS
                size = _size(code, counts)
        if total + size <= allowed:
            total += size
            counts[code] += 1
            due_code[k] = code
            chosen[k] = True
    left = 0
    for k in range(count):
        if chosen[k]:
            due[left, 0], due[left, 1], due_code[left] = due[k, 0], due[k, 1], due_code[k]
            left += 1
    return left, total
