"""How numbers, texts, types and names are spelled in C99."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

CTYPES = {
    "float64": "double",
    "float32": "float",
    "int64": "int64_t",
    "int32": "int32_t",
    "int16": "int16_t",
    "int8": "int8_t",
    "uint64": "uint64_t",
    "uint32": "uint32_t",
    "uint16": "uint16_t",
    "uint8": "uint8_t",
    "bool": "bool",
}
"""NumPy dtype -> C type of a number."""

TEXT = "const char *"
"""C type of a cell of text."""

KEYWORDS = frozenset(
    re.findall(
        r"\w+",
        "auto bool break case char const continue default do double else enum extern false float for "
        "goto if inline int long main register restrict return short signed sizeof static struct "
        "switch true typedef union unsigned void volatile while",
    )
)


def ctype(dtype: str) -> str:
    """The C type of a dtype; text for ``object``."""
    return TEXT if dtype == "object" else CTYPES[dtype]


def identifier(text: str) -> str:
    """A name made of letters, digits and underscores, as near to the text as can be.

    >>> identifier("predict(raw_score)"), identifier("hours per week"), identifier("2nd")
    ('predict_raw_score', 'hours_per_week', '_2nd')
    """
    name = re.sub(r"[^0-9A-Za-z]+", "_", text).strip("_") or "_"
    return f"_{name}" if name[0].isdigit() else name


def distinct(names: list[str]) -> list[str]:
    """The names, with a number after those that occur again.

    >>> distinct(["a", "b", "a"])
    ['a', 'b', 'a_2']
    """
    taken: set[str] = set()
    result: list[str] = []
    for name in names:
        free, n = name, 1
        while free in taken:
            n += 1
            free = f"{name}_{n}"
        taken.add(free)
        result.append(free)
    return result


def literal(value: float, dtype: str) -> str:
    """A number that the compiler reads back with the same bits.

    >>> literal(0.1, "float64"), literal(0.1, "float32"), literal(-(2**63), "int64")
    ('0.1', '0.1f', 'INT64_MIN')
    """
    if dtype.startswith("float"):
        number = np.dtype(dtype).type(value)
        if np.isnan(number):
            return "NAN"
        if np.isinf(number):
            return "INFINITY" if number > 0 else "-INFINITY"
        return repr(float(str(number))) + "f" if dtype == "float32" else repr(float(number))
    whole = int(value)
    if dtype == "int64":
        return "INT64_MIN" if whole == -(2**63) else _wide(whole)
    return f"UINT64_C({whole})" if dtype == "uint64" else str(whole)


def _wide(whole: int) -> str:
    return str(whole) if abs(whole) < 2**31 else f"INT64_C({whole})"


def string(text: str) -> str:
    r"""A string literal of the text's UTF-8 bytes, free of trigraphs.

    >>> print(string('a "b"?'))
    "a \"b\"\?"
    """
    parts: list[str] = []
    for byte in text.encode():
        char = chr(byte)
        if char in '"\\?':
            parts.append("\\" + char)
        elif 32 <= byte < 127:
            parts.append(char)
        else:
            parts.append(f"\\{byte:03o}")
    return f'"{"".join(parts)}"'


def comment(text: str) -> str:
    """Text that cannot end a comment, on one line."""
    return re.sub(r"\s+", " ", text).replace("*/", "* /").replace("/*", "/ *").replace("??", "? ?")


def wrapped(cells: list[str], width: int = 96) -> str:
    """The cells of an initialiser on lines of bounded length."""
    lines: list[str] = []
    line = ""
    for cell in cells:
        if line and len(line) + len(cell) + 2 > width:
            lines.append(line)
            line = ""
        line = f"{line} {cell}," if line else f"{cell},"
    lines.append(line.removesuffix(","))
    return "\n    ".join(lines)


def smallest(values: npt.ArrayLike) -> str:
    """The smallest signed integer dtype that holds all values."""
    array = np.asarray(values, np.int64)
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    for dtype in ("int8", "int16", "int32"):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return dtype
    return "int64"


def declare(kind: str, name: str) -> str:
    """A declaration: a pointer stands beside its name.

    >>> declare("double", "x"), declare("const char *", "x")
    ('double x', 'const char *x')
    """
    return f"{kind}{name}" if kind.endswith(("*", " ")) else f"{kind} {name}"


def size(kind: str) -> int:
    """Bytes that a value of a C type takes, on the machines of today."""
    small = {"float": 4, "bool": 1}
    bits = re.search(r"int(\d+)_t", kind)
    return small.get(kind, int(bits[1]) // 8 if bits else 8)
