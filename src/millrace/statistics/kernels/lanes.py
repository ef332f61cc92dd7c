"""Pieces of the inner loops that are written as LLVM vector code."""

from __future__ import annotations

from typing import Any

from llvmlite import ir

_I32 = ir.IntType(32)


def data_of(context: Any, builder: Any, sig: Any, args: Any, position: int) -> Any:
    """The data pointer of an array argument."""
    return context.make_array(sig.args[position])(context, builder, args[position]).data


def splat(builder: Any, scalar: Any, lanes: int) -> Any:
    """A vector of one number, this many times."""
    vector = ir.VectorType(scalar.type, lanes)
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(_I32, 0))
    zeros = ir.Constant(ir.VectorType(_I32, lanes), [0] * lanes)
    return builder.shuffle_vector(first, undefined, zeros)
