"""A matrix as a picture: the colours of scores, and the PNG that shows them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marl.crossplay.matrix import Estimate, Matrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# From no points to a perfect game. Luminance falls all the way, so it reads in grey as well.
_STOPS = ("#fbf4e6", "#f5dca6", "#b5d3a2", "#5fae9f", "#2a7a92", "#173f5f")
INK, PAPER = "#1d2530", "#ffffff"
_TILE = 0.62  # inches
_APART = 0.9  # tiles from the last column of cells to the middle of what stands beside them

Rgb = tuple[int, int, int]


def colour(share: float) -> Rgb:
    """The colour of a score.

    Args:
        share: of the best possible score, clipped to 0 to 1.
    """
    stops = [tuple(int(stop[i : i + 2], 16) for i in (1, 3, 5)) for stop in _STOPS]
    at = min(max(share, 0.0), 1.0) * (len(stops) - 1)
    i = min(int(at), len(stops) - 2)
    r, g, b = (round(x + (at - i) * (y - x)) for x, y in zip(stops[i], stops[i + 1], strict=True))
    return r, g, b


def is_dark(rgb: Rgb) -> bool:
    """Whether white has more contrast to a colour than ink has (WCAG 2, relative luminance)."""
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in rgb)
    ]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return luminance < 0.217


def labels(names: Sequence[str]) -> list[str]:
    """Names as short as they can be told apart: the last part of a path where that is enough."""
    short = [name.rstrip("/").rpartition("/")[2] or name for name in names]
    chosen = [s if short.count(s) == 1 else name for s, name in zip(short, names, strict=True)]
    return [name if len(name) <= 26 else "…" + name[-25:] for name in chosen]


def outcome(name: str) -> str:
    """What an outcome is called in words."""
    known = {
        "score": "score, a lost game counts 0",
        "points": "points, a lost game keeps them",
    }
    return known.get(name, name)


def save(path: Path, matrix: Matrix, top: float) -> None:
    """Draws a matrix as a PNG, the same bytes for the same matrix.

    Args:
        path: of the file, whose folder must be there.
        matrix: what to draw, by its headline.
        top: score of a perfect game, where the scale ends.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.colors import ListedColormap

    n = len(matrix.names)
    width = n + _APART + 0.5
    figure = plt.figure(figsize=(_TILE * width, _TILE * n))
    panel = figure.add_axes((0, 0, 1, 1))
    _draw(panel, matrix, top)
    panel.set_xlim(-0.5, width - 0.5)
    panel.set_ylim(n - 0.5, -0.5)
    panel.tick_params(length=0, labelsize=9, colors=INK)
    panel.spines[:].set_visible(False)
    # The rest stands around the tiles, at distances in inches; the picture is cut to fit.
    shades = ListedColormap([[c / 255 for c in colour(i / 255)] for i in range(256)])
    bar = figure.colorbar(
        matplotlib.cm.ScalarMappable(matplotlib.colors.Normalize(0, top), shades),
        cax=figure.add_axes((1 + 0.3 / width, 0, 0.2 / width, 1)),
    )
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.tick_params(length=0, labelsize=8, colors=INK)
    bar.set_label(f"mean {outcome(matrix.rules[0])}", fontsize=8, color=INK)
    figure.canvas.draw()
    left = min(text.get_window_extent().x0 for text in panel.get_yticklabels())
    roof = max(text.get_window_extent().y1 for text in panel.get_xticklabels())
    left, roof = left / figure.bbox.width, roof / figure.bbox.height
    heading = f"Cross-play of {matrix.setting.name}"
    inch = 1 / (_TILE * n)
    figure.text(left, roof + 0.2 * inch, heading, fontsize=14, fontweight="bold", color=INK)
    footer: dict[str, Any] = {"fontsize": 8.5, "linespacing": 1.5, "va": "top", "color": INK}
    figure.text(left, -0.2 * inch, _footer(matrix), **footer)
    figure.savefig(
        path, dpi=150, metadata={"Software": None}, facecolor=PAPER, bbox_inches="tight",
        pad_inches=0.25,
    )  # fmt: skip
    plt.close(figure)


def _footer(matrix: Matrix) -> str:
    """The figures of the whole matrix, and what is a row."""
    one = matrix.self_play[matrix.rules[0]]
    lines = [f"self-play {one.mean:.2f}  [{one.low:.2f}, {one.high:.2f}]"]
    if matrix.cross_play is not None and matrix.gap is not None:
        for name, value in (("cross-play", matrix.cross_play), ("gap", matrix.gap)):
            e = value[matrix.rules[0]]
            lines[0] += f"     {name} {e.mean:.2f}  [{e.low:.2f}, {e.high:.2f}]"
    games = next(iter(matrix.cells.values())).games
    lines.append(
        f"{games} games a cell, both seatings; ± one standard error"
        if matrix.setting.seats == 2
        else f"one of the row among {matrix.setting.seats - 1} of the column; {games} games a "
        "cell; ± one standard error"
    )
    return "\n".join(lines)


def _draw(panel: Axes, matrix: Matrix, top: float) -> None:
    """The tiles and their names: cells, and apart from them everybody's cross-play."""
    n = len(matrix.names)
    for guest in range(n):
        for hosts in range(n):
            figures = matrix.cells.get((guest, hosts))
            estimate = None if figures is None else figures.scores[matrix.rules[0]]
            tile(panel, hosts, guest, estimate, top, bold=guest == hosts)
    for row, agent in enumerate(matrix.agents):
        estimate = None if agent.cross_play is None else agent.cross_play[matrix.rules[0]]
        tile(panel, n - 0.5 + _APART, row, estimate, top, bold=False)
    names = labels(matrix.names)
    panel.set_xticks(
        [*range(n), n - 0.5 + _APART],
        [*names, "cross-play"],
        rotation=40,
        ha="left",
        rotation_mode="anchor",
    )
    panel.xaxis.tick_top()
    panel.set_yticks(range(n), names)


def tile(
    panel: Axes, x: float, y: float, estimate: Estimate | None, top: float, bold: bool = False
) -> None:
    """Draws one figure on its colour around (x, y), a unit wide; an empty tile is hatched."""
    from matplotlib.patches import Rectangle

    corner = (x - 0.5, y - 0.5)
    if estimate is None:
        empty = Rectangle(
            corner, 1, 1, facecolor="#eeeeee", edgecolor="#cccccc", hatch="////", lw=0
        )
        panel.add_patch(empty)
        return
    rgb = colour(estimate.mean / top)
    face = [c / 255 for c in rgb]
    panel.add_patch(Rectangle(corner, 1, 1, facecolor=face, edgecolor=PAPER, lw=1.5))
    if bold:
        inner = (x - 0.46, y - 0.46)
        panel.add_patch(Rectangle(inner, 0.92, 0.92, fill=False, edgecolor=INK, lw=1.4))
    ink = PAPER if is_dark(rgb) else INK
    weight = "bold" if bold else "normal"
    panel.text(
        x, y - 0.1, f"{estimate.mean:.1f}", ha="center", va="center", size=10.5, color=ink,
        weight=weight,
    )  # fmt: skip
    if estimate.error:  # a single deal has no spread
        error = f"±{estimate.error:.2f}"
        panel.text(x, y + 0.24, error, ha="center", va="center", size=6.5, color=ink)
