"""Drop dead steps.

Before::

    %0 = Select {"columns": [0, 1]}
    %1 = Cast %0 {"dtype": "float"}
    %2 = Cast %0 {"dtype": "float32"}
    output "transform" = %2 matrix

After::

    %0 = Select {"columns": [0, 1]}
    %1 = Cast %0 {"dtype": "float32"}
    output "transform" = %1 matrix
"""

from __future__ import annotations

from millrace.ir.program import Program


def prune(program: Program) -> Program:
    """The program without the steps that no output needs."""
    return program.live()
