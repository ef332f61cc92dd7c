"""Reading LightGBM's model text, every kind of line as one array over all trees.

Format: ``Tree::ToString`` and ``GBDT::SaveModelToString`` of LightGBM 4.7. Numbers that predictions
depend on are written with 17 digits, so the text holds their exact bits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Trees:
    """The tree section: what stands behind each key, the trees one after another.

    Attributes
    ----------
    fields : mapping of str to list of str
        The value of each ``key=value`` line, in the order of the trees that have the key.
    """

    fields: Mapping[str, list[str]]

    def __len__(self) -> int:
        return len(self.fields.get("num_leaves", ()))

    def ints(self, key: str) -> npt.NDArray[np.int64]:
        """All whole numbers behind a key."""
        return self._numbers(key, np.int64)

    def floats(self, key: str) -> npt.NDArray[np.float64]:
        """All numbers behind a key, correctly rounded."""
        return self._numbers(key, np.float64)

    def _numbers(self, key: str, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        text = " ".join(self.fields.get(key, ())).strip()
        return np.fromstring(text, dtype, sep=" ") if text else np.empty(0, dtype)


@dataclass(frozen=True)
class ModelText:
    """A model as LightGBM writes it.

    Attributes
    ----------
    header : mapping of str to str
        The lines before the trees; a flag has an empty value.
    trees : Trees
    parameters : mapping of str to str
        The training parameters; empty for a model that came without them.
    """

    header: Mapping[str, str]
    trees: Trees
    parameters: Mapping[str, str]

    @property
    def n_features(self) -> int:
        return int(self.header["max_feature_idx"]) + 1

    @property
    def n_outputs(self) -> int:
        """Trees of one iteration: one a class, else one."""
        return int(self.header["num_tree_per_iteration"])

    @property
    def n_iterations(self) -> int:
        return len(self.trees) // self.n_outputs

    @property
    def averages(self) -> bool:
        """Whether predictions are the mean of the iterations (random forest)."""
        return "average_output" in self.header

    @property
    def objective(self) -> tuple[str, Mapping[str, str]]:
        """The objective's name and its own parameters; an empty name for a custom objective."""
        name, *options = self.header.get("objective", "").split(" ")
        return name, {k: v for k, _, v in (o.partition(":") for o in options)}

    @property
    def categorical(self) -> dict[int, int]:
        """Categorical features that were usable, and the largest category of each."""
        found: dict[int, int] = {}
        for feature, info in enumerate(self.header["feature_infos"].split(" ")):
            if info and info != "none" and not info.startswith("["):
                found[feature] = max(int(c) for c in info.split(":"))
        return found

    @property
    def declared_categorical(self) -> tuple[int, ...]:
        """Categorical features by the training parameters."""
        listed = self.parameters.get("categorical_feature", "").split(",")
        return tuple(int(c) for c in listed) if all(c.isdigit() for c in listed) else ()


def parse(text: str) -> ModelText:
    """The model of ``Booster.model_to_string()``."""
    model, _, tail = text.partition("\nend of trees")
    head, separator, body = model.partition("\nTree=")
    header: dict[str, str] = {}
    for line in head.split("\n"):
        key, _, value = line.partition("=")
        header[key] = value
    fields: defaultdict[str, list[str]] = defaultdict(list)
    for line in (separator + body).split("\n"):
        key, found, value = line.partition("=")
        if found:
            fields[key].append(value)
    parameters: dict[str, str] = {}
    for line in tail.partition("\nparameters:")[2].partition("\nend of parameters")[0].split("\n"):
        key, found, value = line.strip("[]").partition(": ")
        if found:
            parameters[key] = value
    return ModelText(header, Trees(fields), parameters)
