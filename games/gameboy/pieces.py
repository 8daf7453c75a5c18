"""The pieces of ``blocks``: one table for the cartridge and for whoever foresees a landing.

A piece lies in a box of up to four by four cells, of which ``column`` and ``row`` name the upper
left corner; a quarter turn changes its cells and leaves the corner where it is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 10, 16
"""Cells of the well."""
SPAWN = 3
"""Column of a new piece's box; its row is 0."""
SPEED = (32, 26, 21, 17, 13, 10, 8, 6, 4, 3)
"""Frames a row at each level."""
SCORE = (0, 1, 3, 6, 10)
"""For so many rows at once."""

_SHAPES = {
    "bar": ("xxxx", ".x/.x/.x/.x"),
    "square": (".xx/.xx",),
    "tee": ("xxx/.x.", ".x/xx/.x", ".x./xxx", "x./xx/x."),
    "left hook": ("x../xxx", "xx/x./x.", "xxx/..x", ".x/.x/xx"),
    "right hook": ("..x/xxx", "x./x./xx", "xxx/x..", "xx/.x/.x"),
    "left step": ("xx./.xx", ".x/xx/x."),
    "right step": (".xx/xx.", "x./xx/.x"),
}

NAMES = tuple(_SHAPES)
TURNS = tuple(map(len, _SHAPES.values()))
"""Ways that each piece can lie, before they repeat."""


def _cells() -> NDArray[np.int8]:
    cells = np.zeros((len(_SHAPES), 4, 4, 2), np.int8)
    for kind, ways in enumerate(_SHAPES.values()):
        for turn in range(4):
            rows = ways[turn % len(ways)].split("/")
            cells[kind, turn] = [
                (y, x) for y, row in enumerate(rows) for x, cell in enumerate(row) if cell == "x"
            ]
    return cells


CELLS = _cells()
"""int8 [7 kinds, 4 turns, 4 cells, 2], row and column of each cell inside the box."""


def c_header() -> str:
    """The same for the cartridge: cells as offsets into a well of 16 columns."""
    shapes = ",\n".join(
        "{"
        + ",".join("{" + ",".join(str(16 * y + x) for y, x in turn) + "}" for turn in kind)
        + "}"
        for kind in CELLS.tolist()
    )
    return (
        f"#define WIDTH {WIDTH}\n#define HEIGHT {HEIGHT}\n#define SPAWN {SPAWN}\n"
        f"static const u8 SHAPE[{len(NAMES)}][4][4] = {{\n{shapes}}};\n"
        f"static const u8 SPEED[] = {{{','.join(map(str, SPEED))}}};\n"
        f"static const u8 GAIN[] = {{{','.join(map(str, SCORE))}}};\n"
    )
