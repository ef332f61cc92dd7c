"""`describe()`: what became what, as text, as a rich table and as HTML."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from millrace.ir.ops import Leaves, Trees
from millrace.ir.text import unparse

if TYPE_CHECKING:
    from millrace.data.derive import Derived
    from millrace.runtime.model import CompiledModel


@dataclass(frozen=True)
class Description:
    """A summary of a compiled model; prints itself.

    Attributes
    ----------
    source : str
    methods : tuple of str
    steps : tuple of (path, class, status, reason)
        ``native`` or ``falls back``.
    notes : tuple of (path, text)
    columns_read, columns_ignored : tuple of str
    n_trees, n_leaves, n_primitives, n_bytes : int
    verification : dict, optional
    provenance : dict
    derived : dict of str to tuple of str
        Date column -> those of its parts that the model was fitted on, which it computes itself.
    """

    source: str
    methods: tuple[str, ...]
    steps: tuple[tuple[str, str, str, str], ...]
    notes: tuple[tuple[str, str], ...]
    columns_read: tuple[str, ...]
    columns_ignored: tuple[str, ...]
    n_trees: int
    n_leaves: int
    n_primitives: int
    n_bytes: int
    verification: dict[str, Any] | None
    provenance: dict[str, Any]
    derived: dict[str, tuple[str, ...]]

    @classmethod
    def of(cls, model: CompiledModel) -> Description:
        program = model.program
        text, constants = unparse(program)
        read = set(model.used_columns)
        forests = {
            id(s.op.forest): s.op.forest for s in program.steps if isinstance(s.op, (Trees, Leaves))
        }
        return cls(
            model.info.source,
            model.methods,
            model.info.steps,
            model.info.notes,
            model.used_columns,
            tuple(c.name for c in program.columns if c.name not in read),
            sum(f.n_trees for f in forests.values()),
            sum(len(f.value) for f in forests.values()),
            len(program.steps),
            len(text.encode()) + sum(a.values.nbytes for a in constants.values()),
            model.info.verification,
            model.info.provenance,
            _by_date(model.info.derived),
        )

    @property
    def fully_native(self) -> bool:
        """Whether nothing falls back to the original Python objects."""
        return all(status == "native" for _, _, status, _ in self.steps)

    def _facts(self) -> list[tuple[str, str]]:
        facts = [
            ("methods", ", ".join(self.methods)),
            ("columns read", f"{len(self.columns_read)}: {_shortened(self.columns_read)}"),
        ]
        if self.columns_ignored:
            ignored = f"{len(self.columns_ignored)}: {_shortened(self.columns_ignored)}"
            facts.append(("columns not read", ignored))
        for column, parts in self.derived.items():
            facts.append(("computed", f"{', '.join(parts)} of the date {column}"))
        if self.n_trees:
            facts.append(("trees", f"{self.n_trees:,} with {self.n_leaves:,} leaves"))
        facts.append(("size", f"{self.n_primitives} primitives, {self.n_bytes / 1024:,.0f} KB"))
        if self.verification:
            facts.append(("verified", str(self.verification.get("summary", ""))))
        versions = ", ".join(f"{k} {v}" for k, v in self.provenance.get("versions", {}).items())
        if versions:
            facts.append(("compiled with", versions))
        return facts

    def __str__(self) -> str:
        width = max(len(path or "model") for path, *_ in self.steps) if self.steps else 8
        lines = [f"compiled {self.source}"]
        lines += [f"  {name:<17}{value}" for name, value in self._facts()]
        lines.append("steps")
        for path, source, status, reason in self.steps:
            because = f" because {reason}" if reason else ""
            lines.append(
                f"  {path or 'model':<{width}}  {source.rsplit('.', 1)[-1]:<24} {status}{because}"
            )
        lines += [f"note on {path or 'model'}: {text}" for path, text in self.notes]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        cell = "<td style='text-align:left'>{}</td>".format
        facts = "".join(
            f"<tr>{cell(html.escape(k))}{cell(html.escape(v))}</tr>" for k, v in self._facts()
        )
        steps = "".join(
            "<tr>"
            + "".join(cell(html.escape(str(v))) for v in (path or "model", source, status, reason))
            + "</tr>"
            for path, source, status, reason in self.steps
        )
        return (
            f"<b>compiled {html.escape(self.source)}</b><table>{facts}</table><table><tr><th>step</th>"
            f"<th>class</th><th>status</th><th>reason</th></tr>{steps}</table>"
        )


def _by_date(derived: Mapping[str, Derived]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for date in derived.values():
        zone = f" ({date.zone})" if date.zone else ""
        found[date.column + zone] = (*found.get(date.column + zone, ()), date.part)
    return found


def _shortened(names: tuple[str, ...], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
