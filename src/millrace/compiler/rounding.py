"""How far an answer may be off because sums were added up in another order.

Where a source leaves the order of additions open (BLAS, a sum over a row whose layout differs,
distances), two right answers differ in their last digits, and all that follows differs with them. By how
much is asked of the program itself: its reference run is repeated with every such step disturbed, at
random, by as much as another order can change it (Monte Carlo arithmetic: Parker, Pierce and Eggert,
*Computing in Science & Engineering* 2(4), 2000). What the answers move by is what rounding can explain;
labels that change under it stand at a tie. A program without such steps is given nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from millrace.backends.reference import run
from millrace.ir.arrays import dense_array
from millrace.ir.ops import Distances, MatMul, Nearest, Op, Reduce
from millrace.ir.program import Output
from millrace.rewrites.narrow import narrow

if TYPE_CHECKING:
    from millrace.runtime.model import CompiledModel

Array = np.ndarray[Any, Any]

TRIES = 6
"""Disturbed runs; each moves every open step by its full bound, up or down."""

FACTOR = 2.0
"""How much further than the furthest of these runs an answer may be."""


@dataclass
class Slack:
    """What rounding excuses, worked out only when some answer is off at all.

    The sum of ``k`` products is off by at most ``2 k eps sum(abs(x * w))`` whatever the order (Higham,
    *Accuracy and Stability of Numerical Algorithms*, section 3.1).

    Attributes
    ----------
    model : CompiledModel
    method : str
    rows : table-like
    stated : float
        The absolute bound that the converters state.
    """

    model: CompiledModel
    method: str
    rows: Any
    stated: float
    output: int = 0

    def excuses(self, expected: Array, got: Array) -> Array:
        """Which of the differing cells are near enough."""
        with np.errstate(all="ignore"):
            near = np.abs(expected - got) <= self.stated
            if near.all() or not self._is_open:
                return near
            near |= np.abs(expected - got) <= self._products
            if self.method == "predict_log_proba":
                near |= np.abs(np.exp(expected) - np.exp(got)) <= max(self._products, self.stated)
            if near.all() or self._spread.shape != expected.shape:
                return near
            return near | (np.abs(expected - got) <= FACTOR * self._spread)

    def excuses_labels(self, got: Array) -> Array:
        """Which labels rounding may give, standing at a tie."""
        if not self._is_open:
            return np.zeros(got.shape, bool)
        alike = [a == got for a in self._disturbed if a.shape == got.shape]
        return np.any(alike, axis=0) if alike else np.zeros(got.shape, bool)

    # -- the program and its reference run -------------------------------------------------
    @cached_property
    def _bound(self) -> Any:
        """The program of the method, for the dtypes of the rows, and its columns."""
        model = self.model.form_of(self.rows)
        batch = model.adapt(self.method, self.rows)
        program = narrow(model.program.bound(batch.binding).only(*model._names[self.method]).live())
        columns = batch.columns
        if isinstance(columns, list):
            columns = [
                c if c is None or isinstance(c, np.ndarray) else c.to_pandas().to_numpy(object)
                for c in columns
            ]
        return program, columns, model.foreign

    @property
    def _is_open(self) -> bool:
        program, _, _ = self._bound
        return any(_is_open(s.op) for s in program.steps)

    @cached_property
    def _products(self) -> float:
        """The largest bound of a product in the program."""
        program, columns, foreign = self._bound
        products = [s for s in program.steps if isinstance(s.op, MatMul)]
        outputs = tuple(Output(str(i), s.inputs[0]) for i, s in enumerate(products))
        factors = run(replace(program, outputs=outputs).live(), columns, foreign)
        most = self.stated
        for i, step in enumerate(products):
            off = _off(step.op, [factors[str(i)]], np.empty(0))
            most = max(most, float(off[np.isfinite(off)].max(initial=0.0)))
        return most

    @cached_property
    def _disturbed(self) -> list[Array]:
        """The answers of the disturbed runs, after the undisturbed one."""
        program, columns, foreign = self._bound
        name = program.outputs[self.output].name
        rng = np.random.default_rng(0)

        def disturb(op: Op, inputs: list[Any], block: Any) -> Any:
            if not _is_open(op):
                return block
            with np.errstate(all="ignore"):
                signs = rng.choice([-1.0, 1.0], block.shape)
                return (block + signs * _off(op, inputs, block)).astype(block.dtype)

        answers: list[Any] = [run(program, columns, foreign)[name]]
        answers += [run(program, columns, foreign, disturb)[name] for _ in range(TRIES)]
        return [dense_array(a) for a in answers]

    @cached_property
    def _spread(self) -> Array:
        """How far each cell moves in the disturbed runs."""
        own, *others = self._disturbed
        return np.max([np.nan_to_num(np.abs(o - own)) for o in others], axis=0)


def _is_open(op: Op) -> bool:
    """Whether a source may compute this step in another order."""
    match op:
        case MatMul() | Distances() | Nearest():
            return True
        case Reduce(name):
            return name in ("sum", "mean", "square_sum")
        case _:
            return False


def _off(op: Op, inputs: list[Any], block: Any) -> Array:
    """By how much each cell may differ in another order."""
    match op:
        case MatMul(weights):
            magnitude = np.asarray(abs(inputs[0]) @ np.abs(weights.values))
            return 2 * len(weights) * _eps(magnitude) * magnitude
        case Distances() | Nearest():
            return 2 * op.points.shape[1] * _eps(block) * np.abs(block)
        case _:
            width = inputs[0].shape[1]
            share = 1 / width if op == Reduce("mean") and width else 1.0
            total = abs(inputs[0])
            if op == Reduce("square_sum"):
                total = total.multiply(total) if hasattr(total, "multiply") else total * total
            magnitude = np.asarray(total.sum(axis=1)).reshape(-1, 1) * share
            return 2 * width * _eps(block) * magnitude


def _eps(block: Any) -> float:
    return float(np.finfo(block.dtype).eps) if block.dtype.kind == "f" else 0.0
