"""Steps that run through torch.

A ``torch.nn.Module`` gets the rows as a tensor in the dtype of its parameters; ``predict`` is what
its ``forward`` answers in evaluation mode, without gradients. A skorch net is called by its own methods,
which take the dtype of its parameters only (float32 as a rule), here as there.

Exactness: torch does not fix the order of additions in its products, and a batch may be cut in pieces.
Missing values: as the layers take them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np

from millrace.catalog.registry import (
    Context,
    Decline,
    Example,
    Outputs,
    Result,
    converts,
)
from millrace.errors import UnsupportedModelError
from millrace.ir.build import Value
from millrace.ir.ops import Call
from millrace.ir.program import Column

_REASON = "it runs through torch"
_NETS = (
    "skorch.NeuralNet",
    "skorch.NeuralNetClassifier",
    "skorch.NeuralNetBinaryClassifier",
    "skorch.NeuralNetRegressor",
)


class Forward:
    """A module with a ``predict``: rows in, what ``forward`` answers out.

    Parameters
    ----------
    module : torch.nn.Module
        Copied, and set to evaluation mode.
    """

    def __init__(self, module: Any) -> None:
        self.module = deepcopy(module).eval()

    def predict(self, rows: Any) -> Any:
        """The answer (NumPy) for rows (n_samples, n_features), in the dtype of the parameters."""
        import torch

        dtype = _dtype(self.module)
        with torch.no_grad():
            tensor = torch.as_tensor(np.array(rows, dtype=dtype))
            return self.module(tensor).cpu().numpy()


def _dtype(module: Any) -> str:
    parameter = next(iter(module.parameters()), None)
    return "float32" if parameter is None else str(parameter.dtype).removeprefix("torch.")


def _module_columns(module: Any) -> Sequence[Column]:
    """As many columns as the first layer that says how many it takes."""
    for layer in module.modules():
        width = getattr(layer, "in_features", getattr(layer, "num_features", None))
        if isinstance(width, int):
            return [Column(f"x{i}") for i in range(width)]
    raise UnsupportedModelError.declined(
        "",
        type(module).__name__,
        "none of its layers says how many columns it takes",
        "Begin with a layer that has in_features or num_features.",
    )


def _called(
    target: Any, methods: Sequence[str], width: int, dtype: str, x: Value, context: Context
) -> Outputs:
    """The methods of a step that is called as it is; what they answer is learned from two rows."""
    rows = np.zeros((2, width), dtype)
    key = context.path or "model"
    outputs: dict[str, Value | Result] = {}
    for method in methods:
        try:
            probe = np.asarray(getattr(target, method)(rows))
        except Exception as error:
            raise Decline(f"its {method} failed on rows of zeros: {error}") from error
        if probe.ndim not in (1, 2):
            raise Decline(f"its {method} answers with {probe.ndim} dimensions")
        shape = "vector" if probe.ndim == 1 else "matrix"
        n_columns = 1 if probe.ndim == 1 else probe.shape[1]
        call = Call(key, method, context.path, _REASON, n_columns, str(probe.dtype))
        outputs[method] = Result((x.then(call),), shape)
    context.translator.foreign[key] = target
    records = context.translator.records
    records[-1] = replace(records[-1], status="falls back", reason=_REASON)
    return outputs


@converts(
    "torch.nn.Module",
    subclasses=True,
    columns=_module_columns,
    call=lambda source, method, rows: getattr(Forward(source), method)(rows),
)
def module(module: Any, x: Value, context: Context) -> Outputs:
    """``predict``: what the layers make of the rows, by torch itself.

    Declines: answers of three or more dimensions.
    """
    width = len(_module_columns(module))
    return _called(Forward(module), ["predict"], width, _dtype(module), x, context)


@converts(*_NETS, columns=lambda net: _module_columns(net.module_))
def skorch_net(net: Any, x: Value, context: Context) -> Outputs:
    """The net's own methods, by torch itself."""
    methods = ["predict", "predict_proba"]
    return _called(net, methods, x.width, _dtype(net.module_), x, context)


# -- examples ------------------------------------------------------------------------------

_BOUND: dict[str, Any] = {
    "ulp": 256,
    "absolute": 1e-5,
    "why": "torch does not fix the order of additions in its products",
    "native": False,
}


def _layers(n_outputs: int) -> Any:
    import torch

    torch.manual_seed(0)
    layers = [torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Dropout(0.2)]
    return torch.nn.Sequential(*layers, torch.nn.Linear(8, n_outputs))


def _rows() -> Any:
    return np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)


def _sequential() -> tuple[Any, Any]:
    return _layers(3), _rows()


def _own_class() -> tuple[Any, Any]:
    import torch

    class Residual(torch.nn.Module):
        """A class of the user's own."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = torch.nn.Linear(4, 4)

        def forward(self, rows: Any) -> Any:
            return (rows + torch.relu(self.inner(rows))).sum(dim=1)

    torch.manual_seed(1)
    return Residual(), _rows()


def _net(kind: str, scaled: bool) -> tuple[Any, Any]:
    import skorch
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x = _rows()
    options: dict[str, Any] = {"max_epochs": 1, "verbose": 0, "train_split": None}
    if kind == "classifier":
        import torch

        y = (x[:, 0] > 0).astype(np.int64) + (x[:, 1] > 0)
        options["criterion"] = torch.nn.CrossEntropyLoss
        net = skorch.NeuralNetClassifier(_layers(3), **options)
    else:
        y = x[:, :1] - x[:, 1:2]
        net = skorch.NeuralNetRegressor(_layers(1), **options)
    model = make_pipeline(StandardScaler(), net) if scaled else net
    return model.fit(x, y), x


def examples() -> Iterator[Example]:
    """Layers alone; nets as they are and behind a scaler."""
    if importlib.util.find_spec("torch") is None:
        return
    yield Example("Sequential", _sequential, **_BOUND)
    yield Example("a class derived from Module", _own_class, **_BOUND)
    if importlib.util.find_spec("skorch") is None:
        return
    yield Example("NeuralNetClassifier", lambda: _net("classifier", False), **_BOUND)
    yield Example("NeuralNetRegressor", lambda: _net("regressor", False), **_BOUND)
    yield Example("NeuralNetClassifier scaled", lambda: _net("classifier", True), **_BOUND)
