"""Operations of an interpreter: small functions that are compiled when a program first has them.

An interpreter that held all of its operations would be compiled as a whole, for ten seconds, by whoever
uses one of them. So each operation is a function of its own, which the interpreter calls by its address,
and one that no program has is never compiled.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic


class Operations:
    """The operations of one interpreter, by number.

    Parameters
    ----------
    n_arguments : int
        All arguments are int64, as is the answer: 0, or 1 where the interpreter has to stop.
    """

    def __init__(self, n_arguments: int) -> None:
        self._signature = types.int64(*[types.int64] * n_arguments)
        self._bodies: dict[int, Callable[..., int]] = {}
        self._compiled: dict[int, Any] = {}
        self._lock = threading.Lock()

    def add(self, number: int, body: Callable[..., int]) -> None:
        """Have `body` as operation `number`."""
        self._bodies[number] = body

    def of(self, number: int) -> Callable[[Callable[..., int]], Callable[..., int]]:
        """`add` as a decorator."""

        def added(body: Callable[..., int]) -> Callable[..., int]:
            self.add(number, body)
            return body

        return added

    def address(self, number: int) -> int:
        """Where the machine code of an operation lies; it stays there."""
        with self._lock:  # of two functions compiled at once one would go, and its address with it
            found = self._compiled.get(number)
            if found is None:
                compiled: Any = numba.cfunc(self._signature, cache=True)(self._bodies[number])
                found = self._compiled[number] = compiled
            return found.address

    def __iter__(self) -> Iterator[int]:
        return iter(self._bodies)


@intrinsic
def call(typingctx, address, arguments):  # type: ignore[no-untyped-def]
    """Call the function of int64 at an address that returns one."""

    def codegen(context: Any, builder: Any, sig: Any, given: Any) -> Any:
        word, count = ir.IntType(64), len(sig.args[1])
        function = builder.inttoptr(given[0], ir.FunctionType(word, [word] * count).as_pointer())
        return builder.call(function, [builder.extract_value(given[1], k) for k in range(count)])

    return types.int64(types.int64, arguments), codegen


@intrinsic
def call_loop(typingctx, loop, args, dimensions, steps, data):  # type: ignore[no-untyped-def]
    """Call an inner loop of NumPy, ``void (char **, npy_intp *, npy_intp *, void *)``, by addresses."""

    def codegen(context: Any, builder: Any, sig: Any, given: Any) -> Any:
        of = ir.FunctionType(ir.VoidType(), [ir.IntType(64)] * 4).as_pointer()
        builder.call(builder.inttoptr(given[0], of), given[1:])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), codegen


@intrinsic
def cells(typingctx, address, kind):  # type: ignore[no-untyped-def]
    """The cells of a dtype at an address, to be read and written by position; nothing is checked.

    An array would be a dozen words for the compiler to see through.
    """

    def codegen(context: Any, builder: Any, sig: Any, given: Any) -> Any:
        return builder.inttoptr(given[0], context.get_value_type(sig.return_type))

    return types.CPointer(kind.instance_type)(types.int64, kind), codegen
