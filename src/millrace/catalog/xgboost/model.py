"""The parts of a saved XGBoost model by name.

Format: ``doc/model.schema`` of XGBoost 3.2.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.catalog.xgboost.ubjson import loads

Category = str | int
_STUMP = {
    "base_weights": [0.0],
    "categories": [],
    "categories_nodes": [],
    "categories_segments": [],
    "categories_sizes": [],
    "default_left": [0],
    "left_children": [-1],
    "loss_changes": [0.0],
    "parents": [2147483647],
    "right_children": [-1],
    "split_conditions": [-0.0],
    "split_indices": [0],
    "split_type": [0],
    "sum_hessian": [0.0],
    "tree_param": {
        "num_deleted": "0",
        "num_feature": "1",
        "num_nodes": "1",
        "size_leaf_vector": "1",
    },
}
"""A tree of one leaf that adds -0.0, which leaves every margin as it is, -0.0 too."""


@dataclass(frozen=True)
class Model:
    """A saved model.

    Attributes
    ----------
    saved : dict
        What ``Booster.save_raw("ubj")`` holds.
    """

    saved: dict[str, Any]

    @property
    def learner(self) -> dict[str, Any]:
        return self.saved["learner"]

    @property
    def booster(self) -> str:
        """``gbtree``, ``dart`` or ``gblinear``."""
        return self.learner["gradient_booster"]["name"]

    @property
    def body(self) -> dict[str, Any]:
        """The trees, or the weights of gblinear."""
        booster = self.learner["gradient_booster"]
        return booster.get("gbtree", booster)["model"]

    @property
    def tree_weights(self) -> npt.NDArray[np.float32]:
        """The weight of each tree of dart."""
        return np.asarray(self.learner["gradient_booster"]["weight_drop"], np.float32)

    @property
    def n_features(self) -> int:
        return int(self.learner["learner_model_param"]["num_feature"])

    @property
    def n_groups(self) -> int:
        """Margins of a row: one a class, one a target, else one."""
        sizes = self.learner["learner_model_param"]
        return max(1, int(sizes["num_class"]), int(sizes["num_target"]))

    @property
    def objective(self) -> str:
        return self.learner["objective"]["name"]

    @property
    def best_iteration(self) -> int | None:
        """The best round, counted from 0, where early stopping has set it."""
        best = self.learner["attributes"].get("best_iteration")
        return None if best is None else int(best)

    def n_trees(self, best_iteration: int | None) -> int:
        """How many trees belong to the rounds up to the best one."""
        ends = self.body["iteration_indptr"]
        last = len(ends) - 1 if best_iteration is None else min(best_iteration + 1, len(ends) - 1)
        return int(ends[last])

    @property
    def categories(self) -> list[tuple[Category, ...]]:
        """The values that each column's codes stand for, empty for a numeric column."""
        return [_categories(entry) for entry in self.body.get("cats", {}).get("enc", ())]

    def base_margin(self) -> npt.NDArray[np.float32]:
        """The margins before the first tree (n_groups,), asked of the library itself.

        ``base_score`` is saved as a prediction; which margin that is each objective's
        ``ProbToMargin`` decides, with the C library's float32 logarithm.
        """
        import xgboost

        k = self.n_groups
        sizes = self.learner["learner_model_param"] | {"num_feature": "1"}
        trees = {
            "cats": {"enc": [], "feature_segments": [], "sorted_idx": []},
            "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": str(k)},
            "iteration_indptr": [0, k],
            "tree_info": list(range(k)),
            "trees": [_STUMP | {"id": i} for i in range(k)],
        }
        learner = {
            "attributes": {},
            "feature_names": [],
            "feature_types": [],
            "gradient_booster": {"model": trees, "name": "gbtree"},
            "learner_model_param": sizes,
            "objective": self.learner["objective"],
        }
        text = json.dumps(
            {"learner": learner, "version": self.saved["version"]}, default=np.ndarray.tolist
        )
        stumps = xgboost.Booster({"nthread": 1}, model_file=bytearray(text, "utf-8"))
        row = xgboost.DMatrix(np.zeros((1, 1), np.float32), nthread=1)
        return stumps.predict(row, output_margin=True).reshape(k)


def _categories(entry: dict[str, Any]) -> tuple[Category, ...]:
    if "offsets" not in entry:
        return tuple(np.asarray(entry["values"]).tolist())
    text = np.asarray(entry["values"], np.int8).tobytes()
    ends: Sequence[int] = np.asarray(entry["offsets"], np.int64).tolist()
    return tuple(text[a:b].decode() for a, b in pairwise(ends))


def read(booster: Any) -> Model:
    """The model of an `xgboost.Booster`."""
    return Model(loads(booster.save_raw("ubj")))
