"""Centring of kernel matrices.

Semantics matched: ``KernelCenterer`` in ``sklearn/preprocessing/_data.py`` of scikit-learn 1.9.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from millrace.catalog.registry import Context, Decline, Example, Outputs, SparseValue, converts
from millrace.catalog.sklearn._examples import as_frame
from millrace.ir.build import Value

_WHY = (
    "the order in which the source adds a row depends on its memory layout; differences may cancel"
)


@converts("sklearn.preprocessing.KernelCenterer")
def kernel_centerer(centerer: Any, x: Value, context: Context) -> Outputs:
    """The kernel less the mean of its row and of its column, plus the mean of all.

    Exactness: the same bits up to 7 columns; from 8 on the source's sum of a row depends on how the
    rows lie in memory (C or Fortran order): the mean of a row may then be off by
    ``n_columns * eps * max(abs(row))``, which the differences keep; stated for rows of the size of the
    training kernel in float32. Missing values: refused.
    """
    if isinstance(x, SparseValue):
        raise Decline("its input is a sparse matrix")
    x = x.cast("float").guard("KernelCenterer")
    rows = np.asarray(centerer.K_fit_rows_)
    if len(rows) > 7:
        scale = float(np.abs(rows).max(initial=1.0))
        context.bound(len(rows), len(rows) * scale * float(np.finfo(np.float32).eps), _WHY)
    total = x.reduce("sum")
    mean = total / x.builder.constant(np.float64(len(rows))).cast_like(total)
    centred = (x - rows).cast_like(x)
    centred = (centred - mean).cast_like(x)
    return {"transform": (centred + np.atleast_1d(centerer.K_fit_all_)).cast_like(x)}


# -- examples ------------------------------------------------------------------------------


def _fitted(n: int, dtype: str, frame: bool = False) -> tuple[Any, Any]:
    from sklearn.preprocessing import KernelCenterer

    rng = np.random.default_rng(0)
    points, rows = rng.normal(size=(n, 3)), rng.normal(size=(30, 3))
    K = (rows @ points.T).astype(dtype)
    centerer = KernelCenterer()
    if frame:
        return centerer.fit(as_frame(points @ points.T)), as_frame(K)
    return centerer.fit((points @ points.T).astype(dtype)), K


def examples() -> Iterator[Example]:
    """Both float dtypes, narrow and wide kernels, a frame."""
    for dtype in ("float64", "float32"):
        yield Example(f"7 columns {dtype}", partial(_fitted, 7, dtype))
        yield Example(f"40 columns {dtype}", partial(_fitted, 40, dtype))
    yield Example("7 columns frame", partial(_fitted, 7, "float64", frame=True))
