"""One output of a program as the body of a C function: its buffers, its lines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from millrace.backends.c.unit import Unit
from millrace.backends.c.words import ctype, size
from millrace.ir.program import Output, Program
from millrace.ir.types import Block


@dataclass(frozen=True)
class Buffer:
    """The value of a step: an array in C.

    Attributes
    ----------
    name : str
        What comes before ``[i]``.
    dtype : str
    width : int
    """

    name: str
    dtype: str
    width: int

    def cell(self, index: str = "i") -> str:
        """One cell; the only one where the width is 1."""
        return f"{self.name}[{'0' if self.width == 1 else index}]"

    @property
    def is_text(self) -> bool:
        return self.dtype == "object"


@dataclass(frozen=True)
class Place:
    """How the columns of the table reach a function: numbers in one array, texts in another.

    Attributes
    ----------
    number, text : dict
        Column of the program -> its place in the array of its kind.
    dtype : str
        Of the numbers.
    """

    number: dict[int, int]
    text: dict[int, int]
    dtype: str


@dataclass
class Function:
    """A C function under construction.

    Attributes
    ----------
    unit : Unit
    program : Program
        Live for the one output.
    types : tuple of Block
    place : Place
    lines : list of str
    work : list of (type, name, cells)
        Arrays that the function computes in.
    buffers : list of Buffer
        One a step.
    """

    unit: Unit
    program: Program
    types: tuple[Block, ...]
    place: Place
    lines: list[str] = field(default_factory=list[str])
    work: list[tuple[str, str, int]] = field(default_factory=list[tuple[str, str, int]])
    buffers: list[Buffer] = field(default_factory=list[Buffer])
    reads: set[str] = field(default_factory=set[str])

    @property
    def output(self) -> Output:
        return self.program.outputs[0]

    @property
    def step(self) -> int:
        """Position of the step that is being written."""
        return len(self.buffers)

    def inputs(self) -> list[Buffer]:
        """The values that the current step reads."""
        return [self.buffers[i] for i in self.program.steps[self.step].inputs]

    def new(self, dtype: str | None = None, width: int | None = None) -> Buffer:
        """An array for the result of the current step, or one to compute in."""
        block = self.types[self.step]
        dtype = dtype or block.dtype
        width = block.width if width is None else width
        name = f"v{len(self.work)}"
        self.work.append((ctype(dtype), name, max(width, 1)))
        return Buffer(f"w->{name}", dtype, width)

    def line(self, text: str) -> None:
        self.lines.append(text)

    def each(self, width: int, body: Callable[[str], str], index: str = "i") -> None:
        """A statement for every cell; plain where there is one."""
        if width == 1:
            self.line(body("0"))
        elif width > 1:
            self.line(f"for (int {index} = 0; {index} < {width}; {index}++) {body(index)}")

    def assign(self, target: Buffer, value: Callable[[str], str]) -> Buffer:
        """Compute every cell of an array."""
        self.each(target.width, lambda i: f"{target.name}[{i}] = {value(i)};")
        return target

    @property
    def work_bytes(self) -> int:
        """What the arrays take together."""
        return sum(n * size(kind) for kind, _, n in self.work)
