"""Any cartridge in sentences: which tiles are where on the screen, and which sprites.

Tiles are said by place in a grid of five by six fields, because a sentence for each tile in each
place would be more than a phrasebook holds; sprites by column and by row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from games.gameboy.console import Console

COLUMNS, ROWS = 20, 18
FIELD_COLUMNS, FIELD_ROWS = 4, 3
SPRITES = 40
_LCDC, _SCY, _SCX, _WY, _WX = 0xFF40, 0xFF42, 0xFF43, 0xFF4A, 0xFF4B


class Tiles:
    """Describes what is on the screen.

    Args:
        most: tiles that are said at most, rare ones first: what is everywhere says little.
    """

    def __init__(self, most: int = 96) -> None:
        self._most = most

    def facts(self, console: Console) -> Iterable[str]:
        """The sentences of what a console shows now."""
        fields: set[tuple[int, int, int]] = set()
        often: Counter[int] = Counter()
        for y, row in enumerate(screen_tiles(console)):
            for x, tile in enumerate(row):
                often[tile] += 1
                fields.add((tile, x // FIELD_COLUMNS, y // FIELD_ROWS))
        for tile, x, y in sorted(fields, key=lambda field: (often[field[0]], field))[: self._most]:
            yield f"tile {tile} is in field {x + 1} of row {y + 1}"
        for number in range(SPRITES):
            sprite = console.pyboy.get_sprite(number)
            if sprite.on_screen:
                yield f"sprite {sprite.tile_identifier} is in column {sprite.x // 8 + 1}"
                yield f"sprite {sprite.tile_identifier} is in row {sprite.y // 8 + 1}"


def screen_tiles(console: Console) -> list[list[int]]:
    """Identifiers of the tiles on the screen, 18 rows of 20: the background, and the window on it.

    Read from where the screen is scrolled to at the end of the frame.
    """
    lcdc, scy, scx, wy, wx = (
        console.read(address, 1)[0] for address in (_LCDC, _SCY, _SCX, _WY, _WX)
    )
    ground, window = console.pyboy.tilemap_background, console.pyboy.tilemap_window
    left, top = scx // 8, scy // 8
    rows = []
    for y in range(ROWS):
        line = list(ground[0:32, (top + y) % 32])
        rows.append([line[(left + x) % 32] for x in range(COLUMNS)])
    if lcdc & 0x20 and wx < 167 and wy < 144:
        over_x, over_y = max(0, (wx - 7) // 8), wy // 8
        for y in range(over_y, ROWS):
            rows[y][over_x:] = list(window[0 : COLUMNS - over_x, y - over_y])
    return rows
