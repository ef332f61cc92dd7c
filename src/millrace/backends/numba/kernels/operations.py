"""Operations of an interpreter: small functions that are compiled when a program first has them.

An interpreter that held all of its operations would be compiled as a whole, for ten seconds, by whoever
uses one of them. So each operation is a function of its own, which the interpreter calls by its address,
and one that no program has is never compiled.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from millrace.backends.numba.instructions import OUT

Body = Callable[..., int]
Maker = Callable[..., Body]


class Operations:
    """The operations of one interpreter, by number.

    Parameters
    ----------
    n_arguments : int
        All arguments are int64, as is the answer: 0, or 1 where the interpreter has to stop.
    """

    def __init__(self, n_arguments: int) -> None:
        self._signature = types.int64(*[types.int64] * n_arguments)
        self._makers: dict[int, Callable[..., Body]] = {}
        self._choices: dict[int, tuple[tuple[Any, ...], ...]] = {}
        self._compiled: dict[tuple[Any, ...], Any] = {}
        self._lock = threading.Lock()

    def of(self, number: int) -> Callable[[Body], Body]:
        """Have a function as an operation."""

        def added(body: Body) -> Body:
            self._makers[number], self._choices[number] = lambda: body, ((),)
            return body

        return added

    def made(self, number: int, *choices: tuple[Any, ...]) -> Callable[[Maker], Maker]:
        """Have a function that makes an operation for one of some choices, which are types or bools."""

        def added(make: Maker) -> Maker:
            self._makers[number], self._choices[number] = make, choices
            return make

        return added

    def address(self, number: int, *choice: Any) -> int:
        """Where the machine code of an operation lies; it stays there."""
        key = (number, *choice)
        with self._lock:  # of two functions compiled at once one would go, and its address with it
            found = self._compiled.get(key)
            if found is None:
                body = self._makers[number](*choice)
                compiled: Any = numba.cfunc(self._signature, cache=True)(body)
                found = self._compiled[key] = compiled
            return found.address

    def compile(self) -> int:
        """Compile all operations for all choices; returns how many there are."""
        keys = [(number, *c) for number, choices in self._choices.items() for c in choices]
        for key in keys:
            self.address(*key)
        return len(keys)


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


@intrinsic
def copy(typingctx, source, target, n_bytes):  # type: ignore[no-untyped-def]
    """Copy bytes from one address to another."""

    def codegen(context: Any, builder: Any, sig: Any, given: Any) -> Any:
        come, to = (builder.inttoptr(a, ir.IntType(8).as_pointer()) for a in given[:2])
        cgutils.raw_memcpy(builder, to, come, given[2], 1)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 3), codegen


@intrinsic
def at_place(typingctx, place, scratch, model, answer):  # type: ignore[no-untyped-def]
    """The address of a place of the machine's instructions; see `instructions`."""

    def codegen(context: Any, builder: Any, sig: Any, given: Any) -> Any:
        place, scratch, model, answer = given
        first = ir.Constant(ir.IntType(64), OUT)
        in_answer = builder.add(answer, builder.sub(place, first))
        is_answer = builder.icmp_signed(">=", place, first)
        is_model = builder.icmp_signed("<", place, ir.Constant(ir.IntType(64), 0))
        own = builder.select(is_answer, in_answer, builder.add(scratch, place))
        return builder.select(is_model, builder.sub(model, place), own)

    return types.int64(*[types.int64] * 4), codegen
