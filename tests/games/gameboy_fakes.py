"""Cartridges with a title's header that write a title's values into memory, and wait.

They hold nothing of any title: a few bytes of our own code, and the values that a test asks for.
"""

from __future__ import annotations

from collections.abc import Mapping

from games.gameboy.cartridges.build import SIZE, _pack


def cartridge(
    title: str, memory: Mapping[int, int | bytes] | None = None, lcdc: int = 0x93
) -> bytes:
    """A cartridge that writes values and then waits for ever.

    Args:
        title: of the header.
        memory: values by address; the screen is off while they are written.
        lcdc: how the screen is then switched on: which tiles and maps it shows.
    """
    code = bytearray([0xF3, 0xAF, 0xE0, 0x40])  # di; xor a; ldh (LCDC), a
    for address, value in (memory or {}).items():
        for offset, byte in enumerate(bytes([value]) if isinstance(value, int) else value):
            where = address + offset
            code += bytes([0x3E, byte, 0xEA, where & 0xFF, where >> 8])  # ld a, n; ld (nn), a
    code += bytes([0x3E, lcdc, 0xE0, 0x40, 0x18, 0xFE])  # LCDC on; jr to itself
    image = bytearray(SIZE)
    image[0x100:0x104] = b"\x00\xc3\x50\x01"  # nop; jp 0x150
    image[0x150 : 0x150 + len(code)] = code
    return _pack(image, title)
