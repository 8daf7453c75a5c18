"""Where our cartridges keep what they know: one table for cartridge, adapter and docs.

A field has a fixed address in the console's work RAM. The C header that a cartridge is compiled
with is generated from here (``c_header``), an adapter reads the bytes through ``RamMap.dtype``, and
docs/gameboy.md prints ``RamMap.table``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

START = 0xC0A0
"""Where every map begins: behind the 160 bytes of sprites that the cartridges keep at 0xC000."""
END = 0xC0FF
"""Where what the cartridges keep to themselves begins."""


@dataclass(frozen=True)
class Field:
    """One value in RAM.

    Attributes:
        name: as in C (behind ``ram_``) and in ``RamMap.dtype``.
        meaning: what the docs say of it.
        size: bytes of one entry, 1 or 2 (little-endian).
        count: entries.
        host: whether it is written from outside, by whoever owns the console.
    """

    name: str
    meaning: str
    size: int = 1
    count: int = 1
    host: bool = False


class RamMap:
    """Fields one behind the other, from ``START`` on.

    Attributes:
        fields: in the order of their addresses.
        address: of each field, by name.
        size: bytes of all.
        dtype: of one console's bytes; ``buffer.view(dtype)`` names the fields.
    """

    def __init__(self, fields: Sequence[Field]) -> None:
        self.fields = tuple(fields)
        self.address: dict[str, int] = {}
        self.size = 0
        for field in self.fields:
            self.address[field.name] = START + self.size
            self.size += field.size * field.count
        if START + self.size > END:
            raise ValueError(f"a map ends before {END:#x}, this one at {START + self.size:#x}")
        self.dtype = np.dtype(
            [
                (field.name, f"<u{field.size}", (field.count,) if field.count > 1 else ())
                for field in self.fields
            ]
        )

    def view(self, buffer: NDArray[np.uint8]) -> NDArray[np.void]:
        """Names the fields of what was read.

        Args:
            buffer: uint8 [N, size], N consoles.

        Returns:
            a structured view [N] of the same memory.
        """
        return buffer.view(self.dtype)[:, 0]

    def c_header(self) -> str:
        """The declarations that a cartridge is compiled with."""
        lines = []
        for field in self.fields:
            kind = "u8" if field.size == 1 else "u16"
            volatile = "volatile " if field.host else ""
            many = f"[{field.count}]" if field.count > 1 else ""
            address = self.address[field.name]
            lines.append(f"{volatile}{kind} __at(0x{address:04X}) ram_{field.name}{many};")
        return "\n".join(lines) + "\n"

    def table(self) -> str:
        """The map for the docs, in Markdown."""
        lines = ["| Address | Name | Bytes | Meaning |", "|---|---|---|---|"]
        for field in self.fields:
            size = f"{field.count} × {field.size}" if field.count > 1 else str(field.size)
            who = "**host** " if field.host else ""
            address = self.address[field.name]
            lines.append(f"| `{address:04X}` | `{field.name}` | {size} | {who}{field.meaning} |")
        return "\n".join(lines) + "\n"


TITLE, PLAYING, OVER, PAUSED = range(4)
"""What ``phase`` says, in every cartridge."""

BLOCKS = RamMap(
    [
        Field("reset", "1: a new game begins at the next frame", host=True),
        Field("seed", "of the order of pieces", count=4, host=True),
        Field("start", "level to begin at, 0 to 9", host=True),
        Field("steady", "1: the level stays as it began", host=True),
        Field("phase", "0 title, 1 playing, 2 over, 3 paused"),
        Field("ticks", "frames since the game began", size=2),
        Field("kind", "of the falling piece, 0 to 6 as in `pieces.NAMES`"),
        Field("turn", "quarter turns of the falling piece, 0 to 3"),
        Field("column", "of the left edge of its box (255: one to the left of the well)"),
        Field("row", "of the upper edge of its box, 0 at the top"),
        Field("next", "kind of the next piece"),
        Field("wait", "frames until it falls a row"),
        Field("held", "frames that left or right has been held"),
        Field("keys", "the keys of this frame"),
        Field("level", "0 to 9"),
        Field("lines", "rows that were filled", size=2),
        Field("pieces", "pieces that have landed", size=2),
        Field("score", "1, 3, 6 or 10 for one to four rows at once", size=2),
        Field("rows", "what lies in each row, a bit a column, from the top", size=2, count=16),
    ]
)

PARCELS = RamMap(
    [
        Field("reset", "1: a new game begins at the next frame", host=True),
        Field("seed", "of the stamps; the same on both consoles", count=4, host=True),
        Field("seat", "0 or 1, which side of the cable", host=True),
        Field("pace", "frames a row", host=True),
        Field("parcels", "how many each seat sorts, at most 99", host=True),
        Field("sparks_given", "sparks that each begins with, at most 9", host=True),
        Field("phase", "0 title, 1 playing, 2 over"),
        Field("ticks", "frames since the game began", size=2),
        Field("keys", "the keys of this frame"),
        Field("lane", "where my crane is, 0 to 3"),
        Field("row", "rows that my parcel has fallen, 0 to 7"),
        Field("wait", "frames until it falls a row"),
        Field("number", "of my parcel, from 0"),
        Field("right", "my parcels that went where they belong"),
        Field("last", "my last parcel: 0 wrong, 1 right, 255 none yet"),
        Field("sparks", "that I have"),
        Field("told", "of my parcel: bit 0 the colour, bit 1 the shape"),
        Field("told_stamp", "what was told of my parcel: bit 0 black, bit 1 square"),
        Field("their_lane", "where the partner's crane is"),
        Field("their_number", "of the partner's parcel"),
        Field("their_right", "the partner's parcels that went where they belong"),
        Field("their_last", "the partner's last parcel: 0 wrong, 1 right, 255 none yet"),
        Field("their_sparks", "that the partner has"),
        Field("their_stamp", "the stamp of the partner's parcel: bit 0 black, bit 1 square"),
        Field("i_told", "of the partner's parcel: bit 0 the colour, bit 1 the shape"),
        Field("stamp", "the stamp of my own parcel: hidden from me, in no fact"),
    ]
)
