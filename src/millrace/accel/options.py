"""How calls are accelerated, for the whole process."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Level: TypeAlias = Literal["exact", "equivalent"]


@dataclass(frozen=True)
class Options:
    """See `millrace.accelerate`."""

    level: Level = "exact"
    strict: bool = False
    compare: bool = False

    def __post_init__(self) -> None:
        if self.level not in ("exact", "equivalent"):
            raise ValueError(f'level is {self.level!r}; expected "exact" or "equivalent".')


@dataclass
class _Holder:
    """The options in force; one for all threads, as the patches are."""

    current: Options = field(default_factory=Options)

    def get(self) -> Options:
        return self.current

    def set(self, options: Options) -> None:
        self.current = options


OPTIONS = _Holder()
