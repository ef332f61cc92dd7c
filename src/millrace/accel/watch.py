"""Has a fitted object changed since it was looked at?"""

from __future__ import annotations

from typing import Any

import numpy as np


class Watch:
    """The state of a fitted object at one moment, to compare with later.

    A refit, ``set_params``, an assignment to an attribute and an edit of an array in place are changes,
    in the object or in any estimator inside it.
    """

    def __init__(self, estimator: Any) -> None:
        self._estimator = estimator
        self._state = _state(estimator)

    def holds(self) -> bool:
        """Whether nothing has changed."""
        return _state(self._estimator) == self._state


def _state(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype.str, hash(value.tobytes())
    if hasattr(value, "get_params"):
        return id(value), tuple((k, _state(v)) for k, v in vars(value).items())
    if isinstance(value, (list, tuple)):
        return tuple(_state(v) for v in value)
    return id(value)
