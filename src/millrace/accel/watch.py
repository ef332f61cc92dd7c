"""Has a fitted object changed since it was looked at?

A stale answer is a wrong answer, so everything that scikit-learn's own methods could read is watched:
each attribute of the object and of whatever is inside it by identity, and the memory of each array by a
digest. That is done before every answer and has to cost microseconds, so the object is walked through
once, and what was found is compared afterwards with a few loops that run in C.
"""

from __future__ import annotations

import datetime
import decimal
import functools
import re
import types
from collections.abc import Callable, Iterable
from itertools import chain
from operator import attrgetter, is_
from typing import Any

import numpy as np

from millrace.accel.calls import NotHere

_ATOMS: frozenset[type] = frozenset(
    {
        type(None), bool, int, float, complex, str, bytes, type, slice, range, type(...),
        types.FunctionType, types.BuiltinFunctionType, types.MethodDescriptorType, types.ModuleType,
        np.ufunc, np.random.RandomState, np.random.Generator, re.Pattern, decimal.Decimal,
        datetime.date, datetime.datetime, datetime.timedelta,
    }
)  # fmt: skip
"""What cannot change inside, or not in a way that an answer depends on."""

_FROZEN = ("sklearn._loss.", "sklearn.linear_model._sgd_fast", "sklearn.metrics._dist_metrics")
"""Modules of compiled classes whose objects do not change once they are made."""

_OPEN = ("sklearn", "scipy")
"""Libraries whose objects are all that their attributes are."""

_METHODS = frozenset(
    {"predict", "predict_proba", "decision_function", "transform", "score_samples"}
)

_SPREAD = 64
"""The memory between the first and the last byte of an array with gaps is digested up to this many times
its size; what lies between is only ever a change too many."""

_dict_of = attrgetter("__dict__")
_form_of = attrgetter("shape", "dtype")
_extent_of = attrgetter("node_count", "capacity")


class Watch:
    """The state of a fitted object at one moment, to compare with later.

    A refit, ``set_params``, an assignment to an attribute and an edit of an array in place are changes,
    in the object or in any estimator inside it. The object itself is not kept alive.

    Parameters
    ----------
    estimator : object

    Raises
    ------
    NotHere
        Something inside may change in a way that cannot be seen.

    """

    def __init__(self, estimator: Any) -> None:
        walk = _Walk(estimator)
        self._class = type(estimator)
        self._own = vars(estimator)
        self._objects = walk.objects
        self._classes = list(map(type, walk.objects))
        self._object_dicts = list(map(_dict_of, walk.objects))
        self._dicts = walk.dicts
        self._keys = list(map(list, walk.dicts))
        self._values = list(chain.from_iterable(map(dict.values, walk.dicts)))
        self._lists = walk.lists
        self._lengths = list(map(len, walk.lists))
        self._items = list(chain.from_iterable(walk.lists))
        self._sets = [(one, frozenset(one)) for one in walk.sets]
        self._arrays = walk.arrays
        self._forms = list(map(_form_of, walk.arrays))
        self._trees = walk.trees
        self._extents = list(map(_extent_of, walk.trees))
        self._held = walk.held
        self._addresses = np.array([a for a, _ in walk.pieces], np.int64)
        self._sizes = np.array([n for _, n in walk.pieces], np.int64)
        self._digest = self._digested()

    def holds(self, estimator: Any) -> bool:
        """Whether nothing has changed in the object that was looked at."""
        try:
            return (
                type(estimator) is self._class
                and vars(estimator) is self._own
                and list(map(type, self._objects)) == self._classes
                and all(map(is_, map(_dict_of, self._objects), self._object_dicts))
                and list(map(list, self._dicts)) == self._keys
                and all(map(is_, chain.from_iterable(map(dict.values, self._dicts)), self._values))
                and list(map(len, self._lists)) == self._lengths
                and all(map(is_, chain.from_iterable(self._lists), self._items))
                and all(one == kept for one, kept in self._sets)
                and list(map(_form_of, self._arrays)) == self._forms
                and list(map(_extent_of, self._trees)) == self._extents
                and self._digested() == self._digest
            )
        except RuntimeError:  # a dict grew in another thread while it was read
            return False

    def _digested(self) -> int:
        return int(_digest()(self._addresses, self._sizes))


def extent_of(estimator: Any) -> tuple[int, int]:
    """Containers and arrays inside an object, and the bytes of the arrays: how large it is.

    Raises
    ------
    NotHere
        As for `Watch`.
    """
    walk = _Walk(estimator)
    n_bytes = sum(n for _, n in walk.pieces)
    return len(walk.dicts) + len(walk.lists) + len(walk.pieces), n_bytes


@functools.cache
def _digest() -> Any:
    """The kernel; Numba is imported when the first object is watched."""
    from millrace.accel.digest import digest

    return digest


class _Walk:
    """Everything inside an object, by kind."""

    def __init__(self, root: Any) -> None:
        self.objects: list[Any] = []
        self.dicts: list[dict[Any, Any]] = []
        self.lists: list[list[Any]] = []
        self.sets: list[set[Any]] = []
        self.arrays: list[np.ndarray[Any, Any]] = []
        self.trees: list[Any] = []
        self.held: list[Any] = []
        self.pieces: list[tuple[int, int]] = []
        self._root = root
        self._seen: set[int] = set()
        self._waiting: list[Any] = []
        self._attributes(root)
        while self._waiting:
            self._one(self._waiting.pop())
        del self._root

    def _one(self, value: Any) -> None:
        cls = type(value)
        if cls in _ATOMS or id(value) in self._seen:
            return
        if value is self._root:
            raise NotHere(f"{cls.__name__} has a reference to itself")
        self._seen.add(id(value))
        if isinstance(value, dict):
            self._mapping(value)
        elif cls is list:
            self.lists.append(value)
            self._waiting.extend(value)
        elif isinstance(value, tuple):
            self.held.append(value)
            self._waiting.extend(value)
        elif cls is set:
            self.sets.append(value)
        elif isinstance(value, np.ndarray):
            self._array(value)
        elif not isinstance(value, (type, frozenset)):
            self._object(value)

    def _mapping(self, value: dict[Any, Any]) -> None:
        self.dicts.append(value)
        self._waiting.extend(value.values())
        if type(value) is not dict and getattr(value, "__dict__", None):
            self._waiting.append(vars(value))

    def _array(self, value: np.ndarray[Any, Any]) -> None:
        cls = type(value)
        if isinstance(value, np.ma.MaskedArray):
            self._waiting.extend((value.data, np.ma.getmaskarray(value)))
            self._attributes(value)
            return
        if cls is not np.ndarray and cls is not np.memmap:
            raise NotHere(f"an array of the class {cls.__name__} inside")
        if value.dtype.hasobject:
            if value.dtype != object:
                raise NotHere(f"an array of {value.dtype} inside")
            self.held.extend(found := value.ravel().tolist())
            self._waiting.extend(found)
        self.arrays.append(value)
        self.pieces.append(_extent(value))

    def _object(self, value: Any) -> None:
        """An object of any other class."""
        cls = type(value)
        module = f"{cls.__module__}."
        if issubclass(cls, (np.generic, np.dtype)) and cls is not np.void:
            return
        if module.startswith(_FROZEN) and not hasattr(value, "__dict__"):
            return
        if module.startswith("pandas.") and cls.__name__.endswith(("Index", "Dtype")):
            return
        if cls is functools.partial:
            self._waiting.extend((value.func, value.args, value.keywords))
        elif cls is types.MethodType:
            self._waiting.append(value.__self__)
        elif cls.__name__ in _PARTS and module.startswith("sklearn."):
            self._compiled(value)
        elif module.partition(".")[0] in _OPEN and hasattr(value, "__dict__"):
            self.objects.append(value)
            self._attributes(value)
        else:
            raise NotHere(f"{cls.__module__}.{cls.__name__} inside, which may change unseen")

    def _attributes(self, value: Any) -> None:
        """What an object of Python code has in its dict and its slots."""
        own = vars(value)
        if overridden := _METHODS & own.keys():
            raise NotHere(f"{type(value).__name__} has a {min(overridden)} of its own")
        self._seen.add(id(own))
        self._mapping(own)
        for base in type(value).__mro__:
            slots = vars(base).get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                    self._waiting.append(getattr(value, name))

    def _compiled(self, value: Any) -> None:
        """An object of compiled code that shows its memory as arrays."""
        self.held.append(value)
        if type(value).__name__ == "Tree":
            self.trees.append(value)
        for part in _PARTS[type(value).__name__](value):
            if not isinstance(part, np.ndarray):
                raise NotHere(f"a {type(value).__name__} whose memory is out of sight inside")
            self.held.append(part)
            self.pieces.append(_extent(part))


def _tree_parts(tree: Any) -> Iterable[Any]:
    """The nodes, all their fields in one array, and the values: views of the tree's own memory."""
    return tree.threshold.base, tree.value


def _neighbor_parts(tree: Any) -> Iterable[Any]:
    return map(np.asarray, tree.get_arrays())


_PARTS: dict[str, Callable[[Any], Iterable[Any]]] = {
    "Tree": _tree_parts,
    **dict.fromkeys(("KDTree", "KDTree64", "KDTree32"), _neighbor_parts),
    **dict.fromkeys(("BallTree", "BallTree64", "BallTree32"), _neighbor_parts),
}
"""Compiled classes of scikit-learn whose memory can be seen."""


def _extent(array: np.ndarray[Any, Any]) -> tuple[int, int]:
    """The address of an array, and its bytes with what lies between them."""
    low, high = np.lib.array_utils.byte_bounds(array) if array.size else (0, 0)
    if high - low > max(_SPREAD * array.nbytes, 1 << 20):
        raise NotHere("an array inside that is spread over much memory")
    return low, high - low
