"""Matplotlib figures as SVG that takes the colours and the font of the page it stands in.

The same figure gives the same bytes: no dates, no random identifiers.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

INK, MUTED, LINE = "#010203", "#010204", "#010205"
"""Stand for the page's colours of text, of secondary text and of thin lines."""

SERIES = tuple(f"#01020{digit}" for digit in "6789abcd")
"""Stand for the page's colours of data, ``--c1`` to ``--c8``."""

_NAMES = {INK: "currentColor", MUTED: "var(--muted)", LINE: "var(--line)"} | {
    colour: f"var(--c{i})" for i, colour in enumerate(SERIES, start=1)
}
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "millrace",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 11,
    "axes.titlesize": 11,
    "text.color": INK,
    "text.parse_math": False,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": LINE,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.useoffset": False,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "path.simplify": True,
}


def drawn(
    name: str, width: int, height: int, draw: Callable[[Any], None], *, bare: bool = False
) -> str:
    """A figure with one pair of axes as SVG text.

    Parameters
    ----------
    name : str
        Unique on the page; identifiers inside begin with it.
    width, height : int
        Pixels.
    draw : callable
        Draws on the axes, with the colours of this module.
    bare : bool
        The axes fill the figure and are not seen.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        size = (width / 72, height / 72)
        if bare:
            figure = Figure(figsize=size)
            axes = figure.add_axes((0, 0, 1, 1))
            axes.set_axis_off()
        else:
            figure = Figure(figsize=size, layout="constrained")
            axes = figure.subplots()
        draw(axes)
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    return _inline(out.getvalue(), name)


def _inline(svg: str, name: str) -> str:
    """SVG for the middle of a page: no prologue, own identifiers, colours by name."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<defs>\s*<style[^>]*>.*?</style>\s*</defs>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r' (?:xmlns(?::xlink)?|version)="[^"]*"', "", svg)
    svg = svg.replace("xlink:href", "href")
    referred = set(re.findall(r'(?:url\(|href=")#([\w-]+)', svg))

    def identifier(found: re.Match[str]) -> str:
        return f' id="{name}-{found[1]}"' if found[1] in referred else ""

    svg = re.sub(r' id="([^"]*)"', identifier, svg)
    svg = re.sub(r'(url\(|href=")#', rf"\1#{name}-", svg)
    svg = re.sub(
        r'(<svg[^>]*?) width="([\d.]+)pt" height="([\d.]+)pt"', r'\1 width="\2" height="\3"', svg
    )
    for colour, meant in _NAMES.items():
        svg = svg.replace(colour, meant)
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)
    svg = re.sub(r"<g>\s*</g>", "", svg)
    svg = re.sub(r">\s+<", "><", svg)
    return re.sub(r' (?:d|x|y|transform|viewBox)="[^"]*"', _rounded, svg).strip()


def _rounded(attribute: re.Match[str]) -> str:
    """Coordinates to a hundredth of a pixel."""
    return re.sub(r"(\.\d\d)\d+", r"\1", attribute[0])
