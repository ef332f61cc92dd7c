"""The instructions of a group once more, for a matrix whose rows can be multiplied where they lie.

A group that begins by loading all columns of its input, looks whether they are finite and multiplies them
with weights, and reads them nowhere else, needs no columns of the tile for them: see
`kernels.tile_products`. It is the usual beginning of every linear model.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from millrace.backends.numba.kernels import tile_form as kernel
from millrace.backends.numba.tile_code import Instruction

LEAST_COLUMNS = 4
"""Fewer columns than a vector has cells are turned and multiplied as any others."""

_PRODUCTS = (kernel.DOT_8, kernel.DOT_ALONE_8)
_GUARDS = {kernel.FINITE_8: 1, kernel.NO_INFINITY_8: 2}
"""What `tile_products` calls a guard."""


def by_rows(lines: Sequence[Instruction], n_sources: int) -> list[Instruction] | None:
    """The same instructions with one product of rows at their beginning; None where they do not fit.

    Parameters
    ----------
    lines : sequence of Instruction
        Ports are numbered from 0.
    n_sources : int
        So many ports are columns that are read; all must be loaded first, and in order.
    """
    loads, rest = list(lines[:n_sources]), list(lines[n_sources:])
    columns = tuple(line.to for line in loads if line.to is not None)
    in_order = [line.numbers for line in loads] == [(k,) for k in range(n_sources)]
    if n_sources < LEAST_COLUMNS or any(k.op != kernel.LOAD_8 for k in loads) or not in_order:
        return None
    own = set(columns)
    readers = [line for line in rest if own & set(line.inputs)]
    guards = [line for line in readers if line.op in _GUARDS]
    products = [line for line in readers if line.op in _PRODUCTS]
    if len(guards) + len(products) < len(readers) or len(guards) > 1 or not products:
        return None
    if any(line.inputs != columns for line in readers) or any(
        c.dtype != "float64" for c in columns
    ):
        return None
    if any(p.op != products[0].op for p in products):
        return None
    guard = _GUARDS[guards[0].op] if guards else 0
    begin = _product(products, n_sources, guard)
    return None if begin is None else [begin, *(k for k in rest if k not in readers)]


def _product(products: list[Instruction], count: int, guard: int) -> Instruction | None:
    """Products of the same columns as one instruction."""
    targets = tuple(p.to for p in products if p.to is not None)
    tables = [p.table for p in products if p.table is not None]
    if products[0].op == kernel.DOT_ALONE_8:
        if len(products) > 1:
            return None
        numbers = (0, count, guard)
        return Instruction(kernel.PRODUCT_ALONE_8, targets[0], (), numbers, table=tables[0])
    if len(products) == 1:
        return None
    weights = np.zeros((count, max(len(tables), 4)))
    weights[:, : len(tables)] = np.array(tables).T
    return Instruction(
        kernel.PRODUCT_8, targets[0], (), (0, count, guard), table=weights, more=targets[1:]
    )
