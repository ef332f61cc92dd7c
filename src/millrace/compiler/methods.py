"""Which methods of a model leave it in another form."""

from __future__ import annotations

from collections.abc import Sequence

from millrace.errors import ExportError
from millrace.ir.program import Program


def chosen(program: Program, methods: str | Sequence[str] | None) -> Program:
    """The program with the outputs of these methods alone; of all without options by default.

    Raises
    ------
    ExportError
        There is no such method, or none is asked for.
    """
    names: dict[str, list[str]] = {}
    for output in program.outputs:
        names.setdefault(output.method, []).append(output.name)
    if methods is None:
        methods = [m for m in names if "(" not in m] or list(names)
    wanted = [methods] if isinstance(methods, str) else list(methods)
    for method in wanted:
        if method not in names:
            raise ExportError.no_method(method, list(names))
    if not wanted:
        raise ExportError.bad_option("methods", methods, f"one or more of {sorted(names)}")
    return program.only(*(n for m in wanted for n in names[m])).live()
