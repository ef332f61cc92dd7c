"""Multilayer perceptrons, and the hidden units of a restricted Boltzmann machine.

Semantics matched: ``sklearn/neural_network/_multilayer_perceptron.py``, ``_base.py`` and ``_rbm.py``
of scikit-learn 1.9.1. Every layer is computed in NumPy's common dtype of the rows and the weights: a net
that was fitted on float32 answers float32 rows in float32.

Exactness: the source leaves the products of a layer to BLAS, which does not fix the order of additions.
How far that moves the output is worked out layer by layer for rows whose cells are below 10 (inputs of
a net are scaled). Everything else is the same function in the same order. A label can differ only where
two outputs (or an output and 0.5) are that close to each other.

Missing values: NaN and infinities are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from millrace.catalog.registry import Context, Decline, Example, Outputs, converts, squeezed, vector
from millrace.catalog.sklearn._examples import as_csr, as_frame, fitted, spelled
from millrace.catalog.sklearn._forest import labels
from millrace.catalog.sklearn.linear_classifiers import of_two, softmax
from millrace.ir.build import Value

_WHY = "BLAS does not fix the order in which a layer adds up its products"
_ULP = 1 << 12


@converts("sklearn.neural_network.MLPRegressor")
def mlp_regressor(net: Any, x: Value, context: Context) -> Outputs:
    """``predict``: the last layer, exponentiated where the loss is Poisson's."""
    answer = _forward(net, x, context)
    return {"predict": squeezed(answer)}


@converts("sklearn.neural_network.MLPClassifier")
def mlp_classifier(net: Any, x: Value, context: Context) -> Outputs:
    """Two classes and several labels: logistic outputs against 0.5; else softmax and argmax."""
    binarizer = net._label_binarizer
    if binarizer.sparse_input_:
        raise Decline("it was fitted on a sparse matrix of labels and answers with one")
    answer = _forward(net, x, context)
    proba = answer
    if net.n_outputs_ == 1:
        proba = of_two(answer)
    if binarizer.y_type_ == "multilabel-indicator":
        predict: Any = (answer > answer.scalar(0.5)).cast("int64")
    elif binarizer.y_type_ == "multiclass":
        predict = vector(answer.reduce("argmax").gather(labels(net.classes_)))
    else:
        code = (answer > answer.scalar(0.5)).cast("int64")
        if len(net.classes_) == 1:
            code = code * np.int64(0)
        predict = vector(code.gather(labels(net.classes_)))
    return {
        "predict": predict,
        "predict_proba": proba,
        "predict_log_proba": proba.apply("log"),
    }


@converts("sklearn.neural_network.BernoulliRBM")
def bernoulli_rbm(machine: Any, x: Value, context: Context) -> Outputs:
    """``transform``: the probability of each hidden unit, ``expit`` of a product.

    ``score_samples`` flips one random cell a row and is left out.
    """
    context.note("score_samples flips a random cell in each row and is left out")
    context.bound(_ULP, 64 * float(np.finfo(machine.components_.dtype).eps), _WHY)
    rows = x.cast("float").guard("BernoulliRBM")
    hidden = rows @ machine.components_.T
    return {"transform": (hidden + machine.intercept_hidden_).cast_like(hidden).apply("expit")}


def _forward(net: Any, x: Value, context: Context) -> Value:
    """``_forward_pass_fast``: the activations of the last layer."""
    block = x.cast("numeric").guard(type(net).__name__)
    last = len(net.coefs_) - 1
    for position, (weights, bias) in enumerate(zip(net.coefs_, net.intercepts_, strict=True)):
        product = block @ weights
        product = (product + bias).cast_like(product)
        block = _activated(product, net.activation if position < last else net.out_activation_)
    ulp, absolute = _moves(net)
    context.bound(ulp, absolute, _WHY)
    return block


def _activated(block: Value, activation: str) -> Value:
    match activation:
        case "identity":
            return block
        case "relu":
            return block.combine("maximum", block.scalar(0.0))
        case "softmax":
            return softmax(block)
        case "logistic":
            return block.apply("expit")
        case "tanh" | "exp":
            return block.apply(activation)
        case _:
            raise Decline(f"its activation {activation!r} is not one of scikit-learn's")


def _moves(net: Any) -> tuple[int, float]:
    """How far the outputs move for the order of additions, from layer to layer; cells below 10.

    Units in the last place (for ``exp``, which turns what is absolute into a ratio), and absolute.
    """
    eps = float(np.finfo(net.coefs_[0].dtype).eps)
    size = np.full(net.coefs_[0].shape[0], 10.0)
    error = np.zeros_like(size)
    for weights, bias in zip(net.coefs_, net.intercepts_, strict=True):
        wide = np.abs(weights.astype(np.float64))
        total = size @ wide + np.abs(bias)
        error = error @ wide + 2 * (len(wide) + 2) * eps * total
        bounded = net.activation in ("tanh", "logistic")
        size = np.minimum(total, 1.0) if bounded else total
    most = float(2 * (error + 4 * eps).max())
    if net.out_activation_ == "exp":
        return max(_ULP, int(most / eps)), most
    return _ULP, most


# -- examples ------------------------------------------------------------------------------


def _rows(kind: str) -> Any:
    X: Any = np.random.default_rng(0).normal(0, 1, (70, 5)).round(2)
    if kind == "float32":
        return X.astype(np.float32)
    if kind == "named":
        return as_frame(X)
    return as_csr(X, 0.71) if kind == "sparse" else X


def _score() -> Any:
    X = _rows("float64")
    return np.sin(X[:, 0]) + X[:, 1] * X[:, 2]


def _net(name: str, target: Any, kind: str = "float64", **params: Any) -> tuple[Any, Any]:
    """A net fitted for a few iterations on plain, named, narrow or sparse rows."""
    import sklearn.neural_network

    X = _rows(kind)
    options: dict[str, Any] = {"hidden_layer_sizes": (9, 6), "max_iter": 25, "random_state": 0}
    net = getattr(sklearn.neural_network, name)(**(options | params))
    return fitted(net, X, target)


def _machine(kind: str) -> tuple[Any, Any]:
    from sklearn.neural_network import BernoulliRBM

    X = _rows(kind)
    X = abs(X) > 0.5 if kind == "sparse" else (X > 0).astype(X.dtype)
    X = X.astype(np.float64) if kind == "sparse" else X
    return BernoulliRBM(n_components=4, n_iter=3, random_state=0).fit(X), X


def examples() -> Iterator[Example]:
    """Every activation, kind of output and kind of row."""
    score = _score()
    three = np.array(["c", "a", "b"])[np.argsort(np.argsort(score)) * 3 // len(score)]
    several = np.stack([score > 0, score > 0.5, score < -0.3], axis=1).astype(int)
    wide: dict[str, Any] = {"ulp": _ULP, "absolute": 1e-12, "why": _WHY}
    narrow: dict[str, Any] = {"ulp": _ULP, "absolute": 1e-4, "why": f"{_WHY}; fitted in float32"}
    nets: list[tuple[str, str, Any, str, dict[str, Any]]] = [
        ("MLPClassifier", "two classes", np.where(score > 0, "yes", "no"), "float64", {}),
        ("MLPClassifier", "three classes", three, "float64", {"activation": "tanh"}),
        ("MLPClassifier", "three classes", three, "float32", {"activation": "logistic"}),
        ("MLPClassifier", "three labels", several, "named", {"activation": "identity"}),
        ("MLPClassifier", "two classes", (score > 0) * 3, "sparse", {"hidden_layer_sizes": (4,)}),
        ("MLPRegressor", "one target", score, "float64", {}),
        ("MLPRegressor", "two targets", np.stack([score, -score], 1), "float32", {}),
        ("MLPRegressor", "one target", score, "named", {"activation": "tanh"}),
        ("MLPRegressor", "one target", np.abs(score), "float64", {"loss": "poisson"}),
        ("MLPRegressor", "one target", score, "sparse", {"activation": "logistic"}),
    ]
    for name, what, target, kind, params in nets:
        options = spelled(params, " ")
        yield Example(
            f"{name} {what} {kind}{options}",
            partial(_net, name, target, kind, **params),
            **(narrow if kind == "float32" else wide),
        )
    for kind in ("float64", "float32", "sparse"):
        yield Example(
            f"BernoulliRBM {kind}",
            partial(_machine, kind),
            **(narrow if kind == "float32" else wide),
        )
