"""Gaussian processes: a product of kernel values, and for classes an integral over a Gaussian.

Semantics matched: ``sklearn/gaussian_process/_gpr.py`` and ``_gpc.py`` of scikit-learn 1.9.1; kernels in
`gp_kernels`. Rows keep their dtype; kernels of distances are float64.

Exactness: the kernel values of distances have the same bits. Their products with what was fitted are
left to BLAS, which does not fix the order of additions: with weights w of the training rows an answer is
off by ``2 (n_train + n_features + 16) eps sum(abs(w))`` times the largest kernel value (for kernels of
products: among rows within the range of the training rows). The variance of a class's latent value comes
from a solved triangular system, here a product with its inverse. A label can differ only where the latent
value is that close to 0.

Missing values: NaN and infinities are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from millrace.catalog.registry import (
    BLAS_ORDER,
    Context,
    Decline,
    Example,
    Outputs,
    converts,
    squeezed,
    vector,
)
from millrace.catalog.sklearn._examples import as_frame, spelled
from millrace.catalog.sklearn._forest import labels
from millrace.catalog.sklearn.gp_kernels import (
    has_products,
    kernel_diagonal,
    kernel_values,
    reads_rows,
)
from millrace.catalog.translate import table_columns
from millrace.errors import UnsupportedModelError
from millrace.ir.build import Value
from millrace.ir.program import Column

_WHY = f"{BLAS_ORDER} over the training rows"
_LAPLACE = "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace"


def _columns(model: Any) -> tuple[Column, ...]:
    """The table that ``fit`` saw, which a kernel of no row leaves unsaid."""
    points = np.shape(getattr(getattr(model, "base_estimator_", model), "X_train_", ()))
    width = getattr(model, "n_features_in_", points[-1] if len(points) == 2 else None)
    columns = table_columns(model, width)
    if columns is None:
        raise UnsupportedModelError.declined(
            "",
            type(model).__name__,
            "it was fitted on objects that are not rows of a table",
            "Expected a fitted object with n_features_in_.",
        )
    return columns


@converts("sklearn.gaussian_process.GaussianProcessRegressor", columns=_columns)
def gaussian_process_regressor(model: Any, x: Value, context: Context) -> Outputs:
    """``predict``: the mean of the posterior.

    Declines: a regressor that answers from its prior alone.
    """
    if not hasattr(model, "X_train_"):
        raise Decline("it is not fitted and answers from its prior")
    rows = x.cast("numeric").guard("GaussianProcessRegressor")
    values = _values(model.kernel_, rows, model.X_train_)
    mean = values @ model.alpha_.reshape(len(model.X_train_), -1)
    mean = mean * np.atleast_1d(model._y_train_std) + np.atleast_1d(model._y_train_mean)
    spread = np.abs(model.alpha_).sum(axis=0) * np.abs(model._y_train_std)
    context.bound(4096, _slack(model) * float(np.max(spread)), _WHY)
    return {"predict": squeezed(mean)}


@converts("sklearn.gaussian_process.GaussianProcessClassifier", columns=_columns)
def gaussian_process_classifier(model: Any, x: Value, context: Context) -> Outputs:
    """Two classes: Laplace's approximation; more: one classifier a class, or a pair of classes."""
    rows = x.cast("numeric").guard("GaussianProcessClassifier")
    outputs = context.convert(model.base_estimator_, rows, "base_estimator_")
    wanted = ["predict"]
    if model.n_classes_ == 2 or model.multi_class == "one_vs_rest":
        wanted.append("predict_proba")
    return {name: outputs[name] for name in wanted if name in outputs}


@converts(_LAPLACE)
def binary_laplace(model: Any, x: Value, context: Context) -> Outputs:
    """The sign of the latent mean, and the integral of a sigmoid over the latent Gaussian.

    The integral is a sum of five error functions with coefficients up to 3,517 that cancel.
    """
    values = _values(model.kernel_, x, model.X_train_)
    weights = model.y_train_ - model.pi_
    mean = values @ weights[:, np.newaxis]
    solved, growth = _solver(model)
    variance = kernel_diagonal(model.kernel_, x) - _sum_of_squares(values @ solved)
    positive = _integral(mean, variance)
    one = x.builder.constant(np.float64(1))
    size = float(np.abs(weights).sum() + growth)
    rounding = _slack(model, narrow=True) * size  # the diagonal of float32 rows is float32
    context.bound(4096, rounding + 1e5 * float(np.finfo(np.float64).eps), _WHY)
    table = labels(np.array(list(model.classes_)))
    return {
        "predict": vector((mean > np.float64(0)).cast("int64").gather(table)),
        "predict_proba": x.builder.concat([one - positive, positive]),
    }


def _values(kernel: Any, rows: Value, points: Any) -> Value:
    """Kernel values, one row a row: also of a kernel that looks at none."""
    values = kernel_values(kernel, rows, points)
    if reads_rows(kernel):
        return values
    return rows.is_missing().reduce("any").where(values, values)


def _sum_of_squares(x: Value) -> Value:
    return x.apply("square").reduce("sum")


def _solver(model: Any) -> tuple[Any, float]:
    """What kernel values are multiplied by to give v of Algorithm 3.2; and how rounding grows in v²."""
    from scipy.linalg import solve_triangular

    solved = solve_triangular(model.L_, np.diag(model.W_sr_), lower=True)
    largest = np.abs(model.kernel_.diag(model.X_train_)).max()
    norm = np.linalg.norm(np.abs(solved), 2) * np.sqrt(len(solved) * largest)
    return solved.T, float(2 * (np.linalg.cond(model.L_) + norm))


def _integral(mean: Value, variance: Value) -> Value:
    """The probability of the second class, by five error functions: (n_samples, 1)."""
    from sklearn.gaussian_process._gpc import COEFS, LAMBDAS

    lambdas, coefficients = LAMBDAS[:, 0], COEFS[:, 0]
    builder = mean.builder
    alpha = builder.constant(np.float64(1)) / (variance * np.float64(2))
    gamma = mean * lambdas
    roots = (alpha / (alpha + lambdas**2)).apply("sqrt")
    height = (builder.constant(np.float64(np.pi)) / alpha).apply("sqrt")
    width = (variance * np.float64(2) * np.float64(np.pi)).apply("sqrt") * np.float64(2)
    integrals = height * (gamma * roots).apply("erf") / width
    return (integrals * coefficients).reduce("sum") + np.float64(0.5 * COEFS.sum())


def _slack(model: Any, narrow: bool = False) -> float:
    """Rounding of one product with kernel values, for weights that sum to 1.

    `narrow` says that products of the kernel may be float32.
    """
    n_train, n = model.X_train_.shape
    largest = float(np.abs(model.kernel_.diag(model.X_train_)).max())
    narrow = (narrow or model.X_train_.dtype == np.float32) and has_products(model.kernel_)
    eps = float(np.finfo(np.float32 if narrow else np.float64).eps)
    return 2 * (n_train + n + 16) * eps * max(largest, 1.0)


# -- examples ------------------------------------------------------------------------------


def _rows(kind: str = "float64") -> Any:
    X: Any = np.random.default_rng(0).uniform(-2, 2, (45, 2)).round(2)
    if kind == "named":
        return as_frame(X)
    return X.astype(kind)


def _kernels() -> dict[str, Callable[[], Any]]:
    """Each kernel, alone or combined; made late, for no library is imported before it is used."""
    import sklearn.gaussian_process.kernels as kernels

    k: Any = kernels
    return {
        "default": lambda: None,
        "RBF": lambda: k.RBF([1.0, 0.5]) + k.WhiteKernel(0.1),
        "Matern 0.5": lambda: 2.0 * k.Matern(1.0, nu=0.5),
        "Matern 1.5": lambda: k.Matern(0.7, nu=1.5) * k.RBF(3.0),
        "Matern 2.5": lambda: k.Matern([0.7, 1.0], nu=2.5),
        "Matern inf": lambda: k.Matern(1.0, nu=np.inf) ** 2,
        "Matern 0.8": lambda: k.Matern(1.0, nu=0.8),
        "RationalQuadratic": lambda: k.RationalQuadratic(1.0, 0.7),
        "ExpSineSquared": lambda: k.ExpSineSquared(1.0, 3.0) + k.WhiteKernel(5.0) + 0.3,
        "DotProduct": lambda: k.DotProduct(0.5) ** 2 + k.WhiteKernel(0.1),
        "PairwiseKernel poly": lambda: k.PairwiseKernel(0.3, metric="poly") + k.WhiteKernel(1.0),
        "ConstantKernel": lambda: k.ConstantKernel(2.0) + k.WhiteKernel(0.1),
        "PairwiseKernel Python": lambda: k.PairwiseKernel(0.3, metric=_closeness),
    }


def _closeness(a: Any, b: Any, gamma: float) -> float:
    return float(np.exp(-gamma * np.abs(a - b).sum()))


def _regressor(kernel: str, kind: str = "float64", targets: int = 0, **params: Any) -> Any:
    from sklearn.gaussian_process import GaussianProcessRegressor

    X = _rows(kind)
    cells = np.asarray(X, np.float64)
    y = np.stack([np.sin(2 * cells[:, 0]) + cells[:, 1], cells[:, 0] * 3], axis=1)
    options: dict[str, Any] = {"alpha": 0.01, "optimizer": None} | params
    model = GaussianProcessRegressor(_kernels()[kernel](), **options)
    return model.fit(X, y[:, :targets] if targets else y[:, 0]), X


def _classifier(kernel: str, words: Any, kind: str = "float64", **params: Any) -> Any:
    from sklearn.gaussian_process import GaussianProcessClassifier

    options: dict[str, Any] = {"optimizer": None} | params
    X = _rows(kind)
    score = np.asarray(X, np.float64) @ [1.0, 0.5] + np.random.default_rng(1).normal(0, 0.4, len(X))
    rank = np.argsort(np.argsort(score)) * len(words) // len(X)
    model = GaussianProcessClassifier(_kernels()[kernel](), **options)
    return model.fit(X, np.asarray(words)[rank]), X


def examples() -> Iterator[Example]:
    """Every kernel, one and two targets, two and three classes, each dtype, a fitted length."""
    bound: dict[str, Any] = {"ulp": 1 << 16, "absolute": 1e-9, "why": _WHY}
    narrow: dict[str, Any] = {"ulp": 1 << 16, "absolute": 1e-3, "why": f"{_WHY}; in float32"}
    for kernel in _kernels():
        native = "Python" not in kernel
        yield Example(
            f"GaussianProcessRegressor {kernel}",
            partial(_regressor, kernel),
            **(bound if native else {}),
            native=native,
        )
    regressors: list[tuple[str, str, int, dict[str, Any]]] = [
        ("RBF", "named", 1, {}),
        ("RBF", "float32", 2, {"normalize_y": True}),
        ("DotProduct", "float32", 0, {"normalize_y": True}),
        ("Matern 1.5", "float64", 0, {"optimizer": "fmin_l_bfgs_b"}),
        ("default", "int64", 0, {}),
    ]
    for kernel, kind, targets, params in regressors:
        words = spelled(params, " ")
        yield Example(
            f"GaussianProcessRegressor {kernel} {kind} targets={targets}{words}",
            partial(_regressor, kernel, kind, targets, **params),
            **(narrow if (kernel, kind) == ("DotProduct", "float32") else bound),
        )
    classifiers: list[tuple[str, list[Any], str, dict[str, Any]]] = [
        ("default", [0, 1], "float64", {}),
        ("RBF", ["no", "yes"], "named", {}),
        ("DotProduct", [3, 1], "float32", {}),
        ("ExpSineSquared", [True, False], "float64", {}),
        ("Matern 2.5", ["c", "a", "b"], "float64", {}),
        ("RBF", [0, 1, 2], "float64", {"multi_class": "one_vs_one"}),
    ]
    for kernel, classes, kind, params in classifiers:
        words = spelled(params, " ")
        yield Example(
            f"GaussianProcessClassifier {kernel} {kind} {len(classes)} classes{words}",
            partial(_classifier, kernel, classes, kind, **params),
            **(narrow if (kernel, kind) == ("DotProduct", "float32") else bound),
        )
