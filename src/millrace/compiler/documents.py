"""Texts and collections made from the terms and features that a program counts."""

from __future__ import annotations

from typing import Any

import numpy as np

from millrace.ir.ops import Features, Terms

_ODD = (
    "",
    " ",
    "\u00c9t\u00e9 na\u00efve \u00df \ufb01",
    "\U0001f600 unseen words",
    "a-b_c\t1.5\nA",
)
_WORDS = ("the", "Mill", "race", "water", "wheel", "42", "caf\u00e9")


def documents(op: Terms, n_documents: int = 200) -> list[str]:
    """Texts of a few known terms each, in lower and upper case, and odd ones."""
    rng = np.random.default_rng(0)
    terms = list(op.vocabulary.values if op.vocabulary is not None else _WORDS) or list(_WORDS)
    glue = " " if op.analyzer == "word" else ""
    made = []
    for n in range(n_documents):
        picked = rng.choice(len(terms), rng.integers(1, 8))
        text = glue.join(terms[i] for i in picked)
        made.append(text.upper() if n % 7 == 0 else text)
    return [*made, *_ODD]


def collections(op: Features, n_rows: int, rng: np.random.Generator) -> list[Any]:
    """Mappings, pairs, names or sets of a few known features each, and of unknown ones."""
    names: list[Any] = list(_WORDS)
    if op.names is not None:
        names = op.names.array().tolist()
    made: list[Any] = []
    for _ in range(n_rows):
        picked = [names[i] for i in rng.choice(len(names), rng.integers(0, 5))] if names else []
        if op.kind == "set":
            made.append(set(picked))
        elif op.kind == "string":
            made.append([str(p) for p in picked])
        else:
            pairs = [_pair(str(p), op.separator, rng) for p in dict.fromkeys(picked)]
            made.append(dict(pairs) if op.kind == "dict" else pairs)
    return made


def _pair(name: str, separator: str, rng: np.random.Generator) -> tuple[str, Any]:
    """A feature that stands for a text is written as one; others get a number."""
    before, found, after = name.partition(separator)
    return (before, after) if found else (name, float(np.round(rng.normal(), 3)))
