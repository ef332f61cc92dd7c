"""Trees of scikit-learn, packed to sum their leaves for rows with permuted columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.backends.numba.kernels.permuted import FEATURE, KEY, LEFT, RIGHT, permuted_sums
from millrace.runtime.pool import spread

_CACHE = 1 << 18
"""Bytes of sums that are kept at once by a thread."""

_FEWEST, _MOST = 16, 256
"""Rows that go through a tree at once: what one tree takes of the cache is read once for all of them."""


@dataclass(frozen=True)
class PackedTrees:
    """Trees whose leaves are summed, one tree after the other.

    Attributes
    ----------
    nodes, roots, targets, values : ndarray
        As the kernel reads them.
    """

    nodes: npt.NDArray[np.int32]
    roots: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]

    @classmethod
    def of(cls, trees: Sequence[Any], targets: Sequence[int], scale: float = 1.0) -> PackedTrees:
        """Pack trees as they are at this moment.

        Parameters
        ----------
        trees : sequence of sklearn.tree._tree.Tree
            Of one output.
        targets : sequence of int
            The output that the first value of each tree is added to.
        scale : float
            A factor of all values.
        """
        found = np.concatenate([tree.threshold.base for tree in trees])
        sizes = np.array([tree.node_count for tree in trees], np.int64)
        roots = np.cumsum(sizes) - sizes
        first = np.repeat(roots, sizes)
        leaf = found["left_child"] < 0
        nodes = np.empty((len(found), 4), np.int32)
        nodes[:, KEY] = keys_of(_below(found["threshold"]))
        nodes[:, FEATURE] = np.where(leaf, -1, found["feature"])
        nodes[:, LEFT] = found["left_child"] + first
        nodes[:, RIGHT] = found["right_child"] + first
        values = np.concatenate([tree.value[:, 0, :] for tree in trees]).T
        scaled = values if scale == 1.0 else values * scale
        return cls(nodes, roots, np.array(targets, np.int64), np.ascontiguousarray(scaled))

    def sums(
        self,
        keys: npt.NDArray[np.int32],
        initial: npt.NDArray[np.float64],
        order: npt.NDArray[np.int64],
        columns: Sequence[int] = (),
    ) -> npt.NDArray[np.float64]:
        """Sum the leaves of rows as they are, and with each column permuted in each order.

        Parameters
        ----------
        keys : int32 (n_rows, n_features)
            See `keys_of`.
        initial : float64 (n_rows, n_outputs)
            What the sums begin with.
        order : int64 (n_repeats, n_rows)
            The rows that permuted values come from.
        columns : sequence of int
            Those that are permuted.

        Returns
        -------
        float64 (n_columns * n_repeats + 1, n_rows, n_outputs)
            The repeats of the first column, of the second one, and so on; last the rows as they are. The
            bits are those of adding one tree after the other.
        """
        n_versions = len(columns) * len(order) + 1
        out = np.empty((n_versions, *initial.shape))
        chosen = np.array(columns, np.int64)
        block = min(max(_CACHE // (8 * n_versions * initial.shape[1]), _FEWEST), _MOST)
        kernel: Any = permuted_sums

        def work(start: int, stop: int) -> None:
            kernel(
                self.nodes, self.roots, self.targets, self.values, keys, order, chosen, initial,
                start, stop, out,
            )  # fmt: skip

        spread(work, len(keys), block)
        return out


def keys_of(values: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
    """Whole numbers in the order of the values, which have no NaN among them; both zeros are one.

    Parameters
    ----------
    values : float32, of any shape

    Returns
    -------
    int32, of the same shape, C-contiguous
    """
    bits = (np.ascontiguousarray(values, np.float32) + np.float32(0.0)).view(np.int32)
    return bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))


def _below(thresholds: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """The largest float32 that is not above each threshold: no float32 lies between."""
    with np.errstate(over="ignore"):
        near = thresholds.astype(np.float32)
    return np.where(near > thresholds, np.nextafter(near, np.float32(-np.inf)), near)
