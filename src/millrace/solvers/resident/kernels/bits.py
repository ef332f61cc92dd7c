"""Floats as the integers of their bits, and back."""

# Kernels are not Python: Numba gives them their types.
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false
# pyright: reportCallIssue=false

from __future__ import annotations

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic


@intrinsic
def as_float(typingctx, bits):  # type: ignore[no-untyped-def]
    """The float64 of these bits."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(types.int64), codegen


@intrinsic
def as_bits(typingctx, value):  # type: ignore[no-untyped-def]
    """The bits of a float64."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.bitcast(args[0], ir.IntType(64))

    return types.int64(types.float64), codegen


@njit(nogil=True, cache=True, inline="always")
def rank(value):
    """An integer that is larger for a larger float, and the same for 0 and -0; its own inverse.

    Loops that look for the least integer have vector code, and loops over floats have none.
    """
    bits = as_bits(value + 0.0)
    return bits ^ ((bits >> 63) & 0x7FFFFFFFFFFFFFFF)


@njit(nogil=True, cache=True, inline="always")
def unrank(key):
    """The float of a rank."""
    return as_float(key ^ ((key >> 63) & 0x7FFFFFFFFFFFFFFF))
