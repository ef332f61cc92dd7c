"""LightGBM models of any size and exact shape, for the grid.

Training 5,000 trees of 4,000 leaves takes hours, and what a tree has learned makes no difference to
how fast it is walked; its shape and the spread of its thresholds do. So a few dozen real trees are
trained, each with exactly the number of leaves asked for, and the forest is put together from them:
tree t is a trained tree whose features are renamed by a permutation drawn for t. The columns of the
data are alike, so rows spread over the leaves of a renamed tree as they do over the original's, and
no two trees are equal. The result is written as LightGBM's own model text and loaded by LightGBM.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import models
from benchmarks.models import N_FEATURES, Model, cached

N_TRAINED = 40
ROWS_A_LEAF = 25
# What LightGBM does not need to predict, two thirds of the text.
LEFT_OUT = (
    "split_gain=", "leaf_weight=", "leaf_count=", "internal_value=", "internal_weight=",
    "internal_count=",
)  # fmt: skip


def forest(n_trees: int, n_leaves: int) -> Model:
    """A LightGBM regression `Booster` with `n_trees` trees of exactly `n_leaves` leaves."""
    import lightgbm

    trained = cached(f"trees-of-{n_leaves}-leaves", "lightgbm", lambda: train(n_leaves))
    model = Model(f"{n_trees}-{trained.key}", None)
    path = model.file(".txt")
    if not path.exists():
        aside = path.with_suffix(".part")
        write(trained.fitted, n_trees, aside)
        aside.replace(path)
    return Model(model.key, lightgbm.Booster(model_file=str(path)))


def train(n_leaves: int) -> tuple[str, list[str]]:
    """The header and the tree blocks of a small model.

    Raises
    ------
    ValueError
        A tree has another number of leaves than was asked for.
    """
    import lightgbm

    X, y = models.train_set(max(10_000, ROWS_A_LEAF * n_leaves))
    parameters = {
        "objective": "regression", "num_leaves": n_leaves, "min_data_in_leaf": 5,
        "learning_rate": 0.05, "num_threads": 2, "seed": 0, "verbose": -1,
    }  # fmt: skip
    booster = lightgbm.train(parameters, lightgbm.Dataset(X, y), N_TRAINED)
    header, trees = split(booster.model_to_string())
    if not all(f"num_leaves={n_leaves}\n" in tree for tree in trees):
        raise ValueError(f"LightGBM grew a tree with fewer than {n_leaves} leaves")
    return header, trees


def split(text: str) -> tuple[str, list[str]]:
    """Header and tree blocks of a model text, without the lines that prediction does not need."""
    body, _, _ = text.partition("end of trees")
    header, *blocks = body.split("Tree=")
    header = "".join(
        line for line in header.splitlines(keepends=True) if not line.startswith("tree_sizes=")
    )
    trees = [block.split("\n", 1)[1] for block in blocks]
    return header, ["".join(kept(tree)) for tree in trees]


def kept(tree: str) -> Iterator[str]:
    for line in tree.splitlines(keepends=True):
        if line.strip() and not line.startswith(LEFT_OUT):
            yield line


def write(trained: tuple[str, list[str]], n_trees: int, path: Path) -> None:
    """The model text of the forest. The header says how many bytes each tree takes."""
    header, trees = trained
    sizes = " ".join(str(len(block)) for block in blocks(trees, n_trees))
    with path.open("w") as out:
        out.write(f"{header.rstrip()}\ntree_sizes={sizes}\n\n")
        out.writelines(blocks(trees, n_trees))
        out.write("end of trees\n\npandas_categorical:null\n")


def blocks(trees: list[str], n_trees: int) -> Iterator[str]:
    """The trees of the forest, each with features of its own."""
    rng = np.random.default_rng(n_trees)
    for t in range(n_trees):
        yield f"Tree={t}\n{renamed(trees[t % len(trees)], rng.permutation(N_FEATURES))}\n\n"


def renamed(tree: str, names: np.ndarray) -> str:
    """The tree with feature f called `names[f]`."""
    before, after = tree.split("split_feature=", 1)
    features, rest = after.split("\n", 1)
    new = " ".join(str(names[int(f)]) for f in features.split())
    return f"{before}split_feature={new}\n{rest}"
