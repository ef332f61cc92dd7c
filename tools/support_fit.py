"""The part of docs/support.md about fitting: what becomes of every estimator in `millrace.fit`.

Everything comes from the registry of solvers, the ways of `millrace.fitting.ways` and the examples of the
conformance suite of solvers, which is the test of the bounds that are shown.
"""

from __future__ import annotations

import inspect
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sklearn.linear_model import SGDClassifier

from millrace.catalog.registry import public_name
from millrace.fitting.ways import Allowed, ways
from millrace.solvers import Example, Rows, examples, registered
from millrace.solvers.registry import Solver, takes_weight
from millrace.solvers.rows import Source

SOLVERS = Path(__file__).parents[1] / "src/millrace/solvers"

HEAD = """\
## Fitting

What [`millrace.fit`](fitting.md) does with each class. A class with a **solver** is fitted from
statistics. The columns of the first table:

- **agrees to**: the relative bound on every fitted float attribute and on the answers, against
  scikit-learn on the same rows, as the conformance tests check it; *converged* where scikit-learn is
  given a tighter `tol`, because its default stops early; *quality* where the answer is another one and
  its score must not be lower than scikit-learn's by more than the number; *parts* where it is as exact
  as the estimators inside; – where no example is of it. Attributes in brackets tell how it was solved,
  or are fixed up to a sign only, and are not compared.
- **weights**: whether sample weights are taken.

Some parameters of a class cannot be fitted batch by batch; then the next way is taken or an error says
why. `millrace.plan` tells it for your estimator before anything is read. Files are below
`src/millrace/solvers/`.
"""

_ATOL = 1e-9
"""The absolute bound of an example that states none."""

HEADS = ("class", "how", "agrees to", "weights", "file")


@dataclass
class _Shown:
    """What the examples of one class say."""

    bounds: dict[str, None] = field(default_factory=dict)
    ignored: dict[str, None] = field(default_factory=dict)


def section(estimators: Mapping[str, type]) -> str:
    """The text; `estimators` are those that scikit-learn lists, by public name."""
    solvers = registered()
    shown = _examples()
    fitted = {n: s for n, s in solvers.items() if not _declines(n, s, shown)}
    other = _other_ways({n: c for n, c in estimators.items() if n not in fitted}, solvers)
    counts = [sum(n in estimators for n in fitted), *(len(other[w]) for w in _WAYS)]
    said = (
        f"Of the {len(estimators)} estimators that scikit-learn lists, {counts[0]} have a solver, "
        f"{counts[1]} go through\n`partial_fit`, {counts[2]} learn nothing from the rows, {counts[3]} "
        f"depend on the estimator inside, and {counts[4]} need all rows\nin memory.\n"
    )
    parts = [HEAD, said, _solver_table(fitted, shown)]
    parts += [f"{text}\n\n{_by_module(other[way])}\n" for way, text in _WAYS.items() if other[way]]
    return "\n".join(parts)


_WAYS = {
    "partial": (
        "**Batch by batch through `partial_fit`**, in the order of the rows, once over all of them. The\n"
        "answer is that of `partial_fit` on the same batches, which is not that of `fit` where `fit`\n"
        "makes several passes:"
    ),
    "stateless": "**On the first rows**, because they learn nothing but the columns:",
    "inside": (
        "**As the estimator inside allows**: through `partial_fit` where that has it, else in memory:"
    ),
    "memory": (
        "**In memory only**: no solver and no `partial_fit`, or a solver that declines. They raise\n"
        "`NotStreamableError` with the size of the rows, and are fitted by scikit-learn itself on all\n"
        "rows with `in_memory=True`:"
    ),
}


# -- what the registry says ------------------------------------------------------------------
def _examples() -> dict[str, _Shown]:
    """Public class name -> what its examples state; of classes without any, those they are part of."""
    shown: dict[str, _Shown] = defaultdict(_Shown)
    inside: dict[str, _Shown] = defaultdict(_Shown)
    for _, example in examples():
        estimator = example.make()[0]
        _learn(shown, estimator, example)
        if hasattr(estimator, "get_params"):
            for part in estimator.get_params().values():
                if hasattr(part, "get_params"):
                    _learn(inside, part, example)
    return inside | shown


def _learn(shown: dict[str, _Shown], estimator: Any, example: Example) -> None:
    one = shown[public_name(type(estimator))]
    one.bounds[_bound(example)] = None
    one.ignored |= dict.fromkeys(example.ignore)


def _bound(example: Example) -> str:
    """One example's bound in words."""
    why = f" ({example.why})" if example.why else ""
    if example.quality is not None:
        return f"quality, {_number(example.quality_slack)}{why}"
    absolute = f" or {_number(example.atol)} absolute" if example.atol > _ATOL else ""
    converged = ", converged" if example.oracle is not None and not why else ""
    return f"{_number(example.rtol)}{absolute}{converged}{why}"


def _number(value: float) -> str:
    text = f"{value:.0e}" if 0 < value < 1e-3 else f"{value:g}"
    return re.sub(r"e-0?(\d+)", r"e-\1", text)


def _declines(name: str, solver: Solver, shown: Mapping[str, _Shown]) -> bool:
    """A solver that declines whatever it gets has no example and says so in its first word."""
    return name not in shown and _sentence(solver).startswith("Declines: ")


def _other_ways(estimators: Mapping[str, type], solvers: Mapping[str, Any]) -> dict[str, list[str]]:
    """Way -> the names of the classes that are fitted in it."""
    found: dict[str, list[str]] = {way: [] for way in _WAYS}
    for name, cls in estimators.items():
        needed = _needed(cls)
        # One that can do all that is ever asked of the estimator inside.
        made = cls(**dict.fromkeys(needed, SGDClassifier()))
        way = ways(made, Rows(Source(())), Allowed())[0].name
        if name in solvers or not way:
            kind = "memory"
        elif "partial_fit" in way:
            kind = "inside" if needed else "partial"
        else:
            kind = "stateless"
        found[kind].append(name)
    return found


def _needed(cls: type) -> list[str]:
    """Parameters without a default: the estimators inside."""
    parameters = inspect.signature(cls).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [p.name for p in parameters if p.default is p.empty and p.kind in kinds]


# -- the tables ------------------------------------------------------------------------------
def _solver_table(fitted: Mapping[str, Solver], shown: Mapping[str, _Shown]) -> str:
    """One row for the classes of a module that share a solver and what is said of them."""
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    classes = {n: _class(n) for n in fitted}
    for name, solver in fitted.items():
        cls = classes[name]
        weights = "–" if cls is None else "yes" if takes_weight(cls) else "no"
        file = Path(inspect.getfile(solver)).relative_to(SOLVERS).as_posix()
        module = name.rpartition(".")[0]
        key = (module, _sentence(solver), _agrees(name, solver, shown), weights, f"`{file}`")
        groups[key].append(name)
    rows = [
        (", ".join(f"`{n}`" for n in _short(module, names)), *rest)
        for (module, *rest), names in groups.items()
    ]
    return _table(HEADS, rows)


def _agrees(name: str, solver: Solver, shown: Mapping[str, _Shown]) -> str:
    """The bounds of a class; those of its solver's other classes where it has no example of its own."""
    own = [name] if name in shown else [n for n, s in registered().items() if s is solver]
    bounds = dict.fromkeys(b for n in own if n in shown for b in shown[n].bounds)
    ignored = dict.fromkeys(a for n in own if n in shown for a in shown[n].ignored)
    if not bounds:
        return "parts" if name.endswith(("Pipeline", "FeatureUnion")) else "–"
    without = f" [{', '.join(f'`{a}`' for a in ignored)}]" if ignored else ""
    return "; ".join(bounds) + without


def _class(name: str) -> type | None:
    """The class of a public name; None where its library is not installed."""
    from importlib import import_module

    module, _, last = name.rpartition(".")
    try:
        return getattr(import_module(module), last)
    except ImportError:
        return None


def _short(module: str, names: Iterable[str]) -> list[str]:
    prefix = module.removeprefix("sklearn.")
    return [f"{prefix}.{n.rpartition('.')[2]}" for n in names]


def _by_module(names: Sequence[str]) -> str:
    """A list with a line for each module."""
    modules: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        modules[name.rpartition(".")[0]].append(f"`{name.rpartition('.')[2]}`")
    return "\n".join(f"- `{m}`: {', '.join(own)}" for m, own in modules.items())


def _sentence(solver: Solver) -> str:
    """The first sentence of a solver's docstring."""
    said = inspect.cleandoc(solver.__doc__ or "").split("\n\n")[0].replace("\n", " ")
    return re.split(r"(?<=[^.]\.)\s", said)[0].replace("``", "`")


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return (
        "\n".join(f"| {' | '.join(c.replace('|', chr(92) + '|') for c in r)} |" for r in lines)
        + "\n"
    )
