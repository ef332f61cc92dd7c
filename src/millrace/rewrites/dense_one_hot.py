"""Write indicator columns dense where a dense block is made of them.

Before (a column transformer whose output is dense, after an encoder that gives sparse columns)::

    %1 = OneHot %0 {"width": 3, "dtype": "float64", "sparse": true}
    %2 = Dense %1 {}

After::

    %1 = OneHot %0 {"width": 3, "dtype": "float64", "sparse": false}
"""

from __future__ import annotations

from dataclasses import replace

from millrace.ir.build import Builder, Value
from millrace.ir.ops import Concat, Dense, OneHot, Take
from millrace.ir.program import Program


def dense_one_hot(program: Program) -> Program:
    """The program without `Dense` behind indicator columns alone, or beside other columns."""
    if not any(isinstance(s.op, Dense) for s in program.steps):
        return program
    builder = Builder.like(program)
    new: list[Value] = []
    dense: dict[int, Value] = {}

    def as_dense(at: int) -> Value:
        """The step as a dense block."""
        if at not in dense:
            step = program.steps[at]
            match step.op:
                case OneHot(sparse=True):
                    op = replace(step.op, sparse=False)
                    dense[at] = builder.append(op, *(new[i] for i in step.inputs))
                case Concat() | Take() if new[at].is_sparse:
                    dense[at] = builder.append(step.op, *(as_dense(i) for i in step.inputs))
                case _:
                    dense[at] = new[at].then(Dense()) if new[at].is_sparse else new[at]
        return dense[at]

    for step in program.steps:
        made_dense = isinstance(step.op, Dense)
        new.append(
            as_dense(step.inputs[0])
            if made_dense
            else builder.append(step.op, *(new[i] for i in step.inputs))
        )
    for output in program.outputs:
        builder.output(output.name, new[output.step], output.shape, output.depth)
    return builder.program().live()
