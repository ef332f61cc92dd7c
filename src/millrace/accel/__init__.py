"""The door for code that stays as it is: scikit-learn's own methods, answered where it is fastest.

Enters: calls of the methods of genuine scikit-learn classes. Leaves: what scikit-learn would have
returned, set or raised, and a report of what ran where. Never: computes anything; a call is passed to a
solver, a compiled model or the original, and `costs` says which.

- `patches` puts doors into scikit-learn's classes and takes them out again.
- `calls` is the way of every call through a door: in, or back to the original, and a record of it.
- A **door** decides for one kind of method: `fits`, `answers` (predict, transform ...), `searches`.
- `watch` notices that a fitted object has changed since it was compiled.
- `records` keeps what ran where; `show` prints it.
"""

from millrace.accel.session import accelerate, accelerated, restore
from millrace.accel.show import report

__all__ = ["accelerate", "accelerated", "report", "restore"]
