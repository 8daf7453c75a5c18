"""Pictures for a terminal and for files: half blocks, and GIFs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from games.gameboy.console import FRAME_RATE

HALF_BLOCK = "▀"


def beside(screens: Sequence[NDArray[np.uint8]], gap: int = 4) -> NDArray[np.uint8]:
    """Several pictures in a row, uint8 [height, width, 3], on a dark ground.

    Args:
        screens: pictures of the same height.
        gap: pixels between them.
    """
    ground = np.full((screens[0].shape[0], gap, 3), 32, np.uint8)
    parts = [part for screen in screens for part in (screen, ground)][:-1]
    return np.concatenate(parts, axis=1)


def half_blocks(screen: NDArray[np.uint8], columns: int | None = None) -> str:
    """A picture as text for a terminal with 24-bit colours: two pixels a character.

    Args:
        screen: uint8 [height, width, 3].
        columns: width in characters; the picture's own width in pixels if None, or if it is less.

    Returns:
        lines with ANSI colours, the cursor at the end of the last one.
    """
    height, width = screen.shape[:2]
    if columns is not None and columns < width:
        rows = max(2, round(height * columns / width / 2) * 2)
        screen = np.asarray(
            Image.fromarray(np.ascontiguousarray(screen)).resize(
                (columns, rows), Image.Resampling.BOX
            )
        )
    if len(screen) % 2:
        screen = np.concatenate([screen, screen[-1:]])
    lines = []
    for upper, lower in zip(screen[::2].tolist(), screen[1::2].tolist(), strict=True):
        line, last = [], None
        for colours in zip(upper, lower, strict=True):
            if colours != last:
                (r, g, b), (x, y, z) = last = colours
                line.append(f"\x1b[38;2;{r};{g};{b};48;2;{x};{y};{z}m")
            line.append(HALF_BLOCK)
        lines.append("".join(line) + "\x1b[0m")
    return "\n".join(lines)


def save_gif(
    path: Path, screens: Iterable[NDArray[np.uint8]], every: int = 2, scale: int = 2
) -> int:
    """Writes pictures as a GIF that repeats.

    Args:
        path: the file.
        screens: uint8 [height, width, 3], all of one size.
        every: frames of the console from one picture to the next.
        scale: pixels of the GIF for one of the screen.

    Returns:
        the number of pictures.

    Raises:
        ValueError: if there are none.
    """
    pictures = [
        Image.fromarray(np.ascontiguousarray(screen)).resize(
            (screen.shape[1] * scale, screen.shape[0] * scale), Image.Resampling.NEAREST
        )
        for screen in screens
    ]
    if not pictures:
        raise ValueError(f"{path}: there are no pictures to write")
    # A GIF counts in hundredths of a second: what is lost by rounding is made up for.
    ends = [round(100 * every * (k + 1) / FRAME_RATE) for k in range(len(pictures))]
    durations = [10 * (b - a) for a, b in zip([0, *ends], ends, strict=False)]
    # Four shades, and what a palette of the terminal adds: 16 colours are plenty.
    palette = pictures[len(pictures) // 2].quantize(16)
    frames = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    path.parent.mkdir(parents=True, exist_ok=True)
    frames[0].save(
        path, save_all=True, append_images=frames[1:], duration=durations, loop=0, optimize=True
    )
    return len(frames)
