"""The registry of converters: how one is written, found and looked up.

A converter takes a fitted object, its symbolic input and a `Context`, and returns the object's
methods as values::

    @converts("sklearn.preprocessing.MaxAbsScaler")
    def max_abs_scaler(scaler, x: Value, context: Context) -> Outputs:
        x = x.cast("float").guard("MaxAbsScaler", allow_nan=True)
        return {"transform": (x / scaler.scale_).cast_like(x)}

It may raise `Decline` to say why this one object is not native; the step then falls back to the
original. The module's ``examples()`` yields fitted `Example` objects for the conformance suite.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from millrace.ir.build import Value
from millrace.ir.program import Column, Shape

if TYPE_CHECKING:
    from millrace.catalog.translate import Translator


@dataclass(frozen=True)
class Result:
    """What a method returns: one value, or a list of them (multi-output ``predict_proba``)."""

    values: tuple[Value, ...]
    shape: Shape = "matrix"
    is_list: bool = False
    depth: int = 1


Outputs = Mapping[str, "Value | Result"]
"""Method name -> result. A keyword of a method is written ``"predict(raw_score)"``."""

Converter = Callable[[Any, Value, "Context"], Outputs]


def vector(value: Value) -> Result:
    """A one-dimensional result."""
    return Result((value,), "vector")


def squeezed(value: Value) -> Value | Result:
    """One column as a one-dimensional result, several as a matrix."""
    return vector(value) if value.width == 1 else value


def sparse(value: Value, kind: Shape = "csr_matrix") -> Result:
    """A result that the source returns as a CSR matrix (or array)."""
    return Result((value,), kind)


def cube(value: Value, depth: int) -> Result:
    """A three-dimensional result (n_samples, width / depth, depth)."""
    return Result((value,), "cube", depth=depth)


def list_of(values: Sequence[Value]) -> Result:
    """A list of matrices, one an output."""
    return Result(tuple(values), is_list=True)


@dataclass(frozen=True)
class SparseValue(Value):
    """A block that the source hands to the next step as a sparse matrix.

    A converter asks ``isinstance(x, SparseValue)`` where the source computes something else on
    sparse input: scalers multiply by reciprocals, boosting libraries may read absent cells (here: zeros)
    as missing. Arithmetic gives plain values. The block itself may be dense (few one-hot columns) or
    sparse (`Value.is_sparse`: term counts, a sparse table); what a converter writes holds for both, and
    a primitive that cannot keep a sparse block sparse makes the step fall back.
    """

    kind: Shape = "csr_matrix"


@dataclass(frozen=True)
class SeriesValue(Value):
    """One column that the source takes as a one-dimensional array: texts, labels, collections."""


class Decline(Exception):
    """This object is not native: the reason, in a phrase that completes 'falls back because ...'."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Context:
    """What a converter may ask for.

    Attributes
    ----------
    path : str
        Where the object stands in the source: ``"pipeline/prep/num"``.
    translator : Translator
    """

    path: str
    translator: Translator

    def convert(self, step: Any, x: Value, name: str) -> Outputs:
        """Convert an inner object (natively or by fallback); `name` extends the path."""
        return self.translator.convert(step, x, f"{self.path}/{name}" if self.path else name)

    def invert(self, step: Any, x: Value, name: str) -> Value | Result:
        """What ``inverse_transform`` of an inner object makes of a block; may raise `Decline`."""
        return self.translator.invert(step, x, f"{self.path}/{name}" if self.path else name)

    def value(self, step: Any, x: Value, name: str, method: str = "transform") -> Value:
        """One method of an inner object as a plain value."""
        return plain(self.convert(step, x, name)[method])

    def bound(self, ulp: int, absolute: float, why: str) -> None:
        """State that float outputs may differ from the source's by this much, and why.

        `ulp` counts units in the last place, `absolute` is slack near zero; the larger one holds.
        """
        self.translator.bounds.append(Bound(self.path, ulp, absolute, why))

    def note(self, text: str) -> None:
        """Say something about this step that `describe()` should show."""
        self.translator.notes.append((self.path, text))


BLAS_ORDER = "BLAS does not fix the order of additions"
"""Why what comes of a matrix product is not the same bits."""


@dataclass(frozen=True)
class Bound:
    """How far a step's float outputs may be from the source's, and why."""

    path: str
    ulp: int
    absolute: float
    why: str


def plain(result: Value | Result) -> Value:
    """The single block behind a result."""
    return result if isinstance(result, Value) else result.values[0]


def handed_on(result: Value | Result) -> Value:
    """What the next step receives, remembering whether the source makes it sparse."""
    value = plain(result)
    if isinstance(result, Result) and result.shape in ("csr_matrix", "csr_array"):
        return SparseValue(value.builder, value.at, (), result.shape)
    return value


def in_container_of(x: Value, value: Value) -> Value | Result:
    """`value` as a result, sparse when the input `x` is."""
    return sparse(value, x.kind) if isinstance(x, SparseValue) else value


@dataclass(frozen=True)
class Example:
    """A fitted object for the conformance suite.

    Attributes
    ----------
    name : str
        Unique within its converter: the parameters that make it different.
    make : callable
        Returns ``(fitted, X)``: X is a NumPy array, pandas DataFrame or SciPy CSR matrix of at least
        20 rows of the kind that the object was fitted on; for a converter of a series a
        one-dimensional array or list. Seeded; imports its libraries itself.
    ulp : int
        How many units in the last place a float output may differ; 0 for the same bits.
    absolute : float
        Absolute slack for outputs near zero (where a sum cancels), as the converter's docstring states.
    why : str
        The reason for a bound other than 0.
    native : bool
        False where the object is expected to fall back (the reason is the converter's).
    """

    name: str
    make: Callable[[], tuple[Any, Any]]
    ulp: int = 0
    absolute: float = 0.0
    why: str = ""
    native: bool = True


ColumnReader = Callable[[Any], Sequence[Column]]
"""What the table looked like that an object was fitted on; see `converts`."""


Caller = Callable[[Any, str, Any], Any]
"""``(source, method, rows) -> answer``: how the source object itself is asked; see `converts`."""

Inverse = Callable[[Any, Value, "Context"], "Value | Result"]
"""What ``inverse_transform`` makes of its input; see `inverts`."""


@dataclass
class _Registry:
    converters: dict[str, Converter] = field(default_factory=dict)
    inverses: dict[str, Inverse] = field(default_factory=dict)
    series: set[str] = field(default_factory=set)
    whole_families: set[str] = field(default_factory=set)
    column_readers: dict[str, ColumnReader] = field(default_factory=dict)
    callers: dict[str, Caller] = field(default_factory=dict)
    modules: dict[str, ModuleType] = field(default_factory=dict)


_REGISTRY = _Registry()


def converts(
    *public_names: str,
    columns: ColumnReader | None = None,
    call: Caller | None = None,
    series: bool = False,
    subclasses: bool = False,
) -> Callable[[Converter], Converter]:
    """Register a converter for the classes of these public names.

    `columns` tells the input columns of an object that has no ``n_features_in_``, or whose columns
    carry categories; they have names unless they are called x0, x1 ...

    `call` asks the source object for a method on plain rows (NumPy or pandas), where its methods
    want other containers or options; `method` may carry an option, ``"predict(raw_score)"``. By
    default the method is called with ``raw_score=True`` for an option in lower case and with
    ``prediction_type="RawFormulaVal"`` for one in camel case.

    `series` says that the object takes one cell a row (texts, labels, collections) and not a table;
    its input is one column.

    `subclasses` says that the converter holds for classes derived from these, whatever they override:
    it calls the object, and does not say what it means.
    """

    def register(converter: Converter) -> Converter:
        for name in public_names:
            if name in _REGISTRY.converters:
                raise ValueError(f"two converters for {name}")
            _REGISTRY.converters[name] = converter
            if columns is not None:
                _REGISTRY.column_readers[name] = columns
            if call is not None:
                _REGISTRY.callers[name] = call
            if series:
                _REGISTRY.series.add(name)
            if subclasses:
                _REGISTRY.whole_families.add(name)
        return converter

    return register


def inverts(*public_names: str) -> Callable[[Inverse], Inverse]:
    """Register what ``inverse_transform`` of these classes does.

    The function takes the fitted object, the transformed block and a `Context`, and returns the
    value that the source's ``inverse_transform`` returns.
    """

    def register(inverse: Inverse) -> Inverse:
        for name in public_names:
            if name in _REGISTRY.inverses:
                raise ValueError(f"two inverses for {name}")
            _REGISTRY.inverses[name] = inverse
        return inverse

    return register


@cache
def _discover() -> None:
    """Import every module below this package: a converter exists by standing in a file."""
    _REGISTRY.modules.update(modules_below("millrace.catalog", ("registry", "translate")))


def modules_below(package: str, but: Sequence[str]) -> dict[str, ModuleType]:
    """Import every module below a package, but for these last names and kernels, which load Numba."""
    found = pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}.")
    names = [info.name for info in found if info.name.rsplit(".", 1)[1] not in but]
    names = [name for name in names if "kernels" not in name.split(".")]
    return {name: importlib.import_module(name) for name in names}


def registered() -> dict[str, Converter]:
    """Public class name -> converter, for every converter there is."""
    _discover()
    return dict(sorted(_REGISTRY.converters.items()))


def examples() -> Iterator[tuple[str, Example]]:
    """``(module, example)`` of every converter module; nothing is fitted yet."""
    _discover()
    yield from examples_of(_REGISTRY.modules, "millrace.catalog.")


def examples_of(modules: Mapping[str, ModuleType], prefix: str) -> Iterator[tuple[str, Any]]:
    """``(module, example)`` of what each module's own ``examples()`` yields; names without the prefix."""
    for name, module in sorted(modules.items()):
        make = getattr(module, "examples", None)
        if isinstance(make, FunctionType) and make.__module__ == name:
            for example in make():
                yield name.removeprefix(prefix), example


def public_name(cls: type) -> str:
    """The shortest import path of a class: ``sklearn.linear_model.Ridge``."""
    parts = cls.__module__.split(".")
    for length in range(1, len(parts) + 1):
        path = ".".join(parts[:length])
        try:
            found = getattr(sys.modules.get(path), cls.__name__, None)
        except ImportError:  # scikit-learn's experimental classes, from a pickle
            found = cls
        if found is cls:
            return f"{path}.{cls.__name__}"
    return f"{cls.__module__}.{cls.__qualname__}"


def lookup(cls: type) -> Converter | None:
    """The converter of a class, or of a base class that it does not override in any method.

    A converter of a whole family (`subclasses` of `converts`) holds for what overrides methods too.
    """
    name = _registered_name(cls)
    return _REGISTRY.converters[name] if name else None


def inverse_of(cls: type) -> Inverse | None:
    """The registered inverse of a class, found as its converter is."""
    name = _registered_name(cls)
    return _REGISTRY.inverses.get(name) if name else None


def takes_series(cls: type) -> bool:
    """Whether objects of a class take one cell a row instead of a table."""
    return _registered_name(cls) in _REGISTRY.series


def column_reader(cls: type) -> ColumnReader | None:
    """How the converter of a class reads its input columns, where it says so."""
    name = _registered_name(cls)
    return _REGISTRY.column_readers.get(name) if name else None


def ask(source: Any, method: str, rows: Any) -> Any:
    """The answer of the source object itself; `method` as in `Outputs`."""
    name = _registered_name(type(source))
    if name in _REGISTRY.callers:
        return _REGISTRY.callers[name](source, method, rows)
    plain_name, _, option = method.removesuffix(")").partition("(")
    function = getattr(source, plain_name)
    if not option:
        return function(rows)
    return function(
        rows, **({option: True} if option[0].islower() else {"prediction_type": option})
    )


def can_ask(source: Any, method: str) -> bool:
    """Whether `ask` can ask the source object for a method."""
    called = _registered_name(type(source)) in _REGISTRY.callers
    return called or hasattr(source, method.partition("(")[0])


def _registered_name(cls: type) -> str | None:
    _discover()
    overrides = False
    for base in cls.__mro__:
        if (name := public_name(base)) in _REGISTRY.converters and (
            not overrides or name in _REGISTRY.whole_families
        ):
            return name
        overrides = overrides or has_methods(base)
    return None


def has_methods(cls: type) -> bool:
    """Whether a class itself, not its bases, defines more than how it is made and shown."""
    return any(
        inspect.isfunction(v) or isinstance(v, property)
        for k, v in vars(cls).items()
        if k not in ("__init__", "__repr__")
    )
