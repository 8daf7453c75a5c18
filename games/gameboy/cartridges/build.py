"""Builds the cartridges: ``python -m games.gameboy.cartridges.build``, or ``make cartridges``.

Takes Debian's ``sdcc`` (4.2.0). The tables that a cartridge shares with Python are written as C
first, then it is compiled, linked and packed: 32 KB, the logo's place left empty, the header's and
the whole cartridge's checksum set. The same source gives the same bytes wherever it is built.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from games.gameboy import pieces, ram

SOURCE = Path(__file__).parent
COMPILER = "4.2.0"
"""The version of sdcc that the cartridges beside this file were built with."""
SIZE = 0x8000

TITLES = {"blocks": "CAIRN", "parcels": "PARCELS"}
"""What the header says, by cartridge."""
_TABLES = {
    "blocks": lambda: ram.BLOCKS.c_header() + pieces.c_header(),
    "parcels": lambda: ram.PARCELS.c_header(),
}
_SHADES = {".": 0, ":": 1, "o": 2, "#": 3}


def compiler() -> str | None:
    """The version of sdcc that is installed, None without one."""
    if shutil.which("sdcc") is None:
        return None
    said = subprocess.run(["sdcc", "--version"], capture_output=True, text=True, check=True).stdout
    return next((word for word in said.split() if word.count(".") == 2), None)


def path(name: str) -> Path:
    """The built cartridge that lies beside the source.

    Raises:
        ValueError: if there is no such cartridge.
    """
    if name not in TITLES:
        raise ValueError(f"unknown cartridge {name!r}; there are {', '.join(TITLES)}")
    return SOURCE / f"{name}.gb"


def build(name: str) -> bytes:
    """Compiles one cartridge.

    Returns:
        its 32 KB.

    Raises:
        ValueError: if there is no such cartridge, no sdcc, or the source does not compile.
    """
    path(name)
    if compiler() is None:
        raise ValueError("cartridges are compiled with sdcc (Debian, Ubuntu: apt-get install sdcc)")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for file in ("crt0.s", "console.h", f"{name}.c"):
            shutil.copy(SOURCE / file, work)
        types = "typedef unsigned char u8;\ntypedef unsigned int u16;\n"
        art = _art("font.txt", f"{name}_art.txt")
        (work / "generated.h").write_text(types + _TABLES[name]() + art, encoding="ascii")
        _call(work, "sdasgb", "-o", "crt0.rel", "crt0.s")
        _call(work, "sdcc", "-msm83", "--opt-code-speed", "-c", f"{name}.c")
        _call(
            work,
            *("sdcc", "-msm83", "--no-std-crt0", "--code-loc", "0x0200", "--data-loc", "0xC300"),
            *("-o", "game.ihx", "crt0.rel", f"{name}.rel"),
        )
        return _pack(_from_intel_hex((work / "game.ihx").read_text()), TITLES[name])


def _call(work: Path, *command: str) -> None:
    done = subprocess.run(command, cwd=work, capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"{' '.join(command)} failed: {done.stderr or done.stdout}")


def _from_intel_hex(text: str) -> bytearray:
    """The bytes of a file in Intel's HEX format."""
    image = bytearray(SIZE)
    for line in text.split():
        record = bytes.fromhex(line.removeprefix(":"))
        count, address, kind = record[0], int.from_bytes(record[1:3], "big"), record[3]
        if kind == 0:
            if address + count > SIZE:
                raise ValueError(f"code at {address:#x} is beyond the cartridge's {SIZE:#x} bytes")
            image[address : address + count] = record[4 : 4 + count]
    return image


def _pack(image: bytearray, title: str) -> bytes:
    """Fills in the header, 0x134 to 0x14F."""
    image[0x134:0x144] = title.encode("ascii").ljust(16, b"\0")
    image[0x144:0x150] = bytes(12)  # no licensee, plain 32 KB, no RAM
    image[0x14A] = 1  # sold anywhere
    image[0x14B] = 0x33
    image[0x14D] = sum(-byte - 1 for byte in image[0x134:0x14D]) & 0xFF
    image[0x14E:0x150] = (sum(image) & 0xFFFF).to_bytes(2, "big")
    return bytes(image)


def _art(*files: str) -> str:
    """Tiles drawn in text files, as C: their names, and 16 bytes for each."""
    names: list[str] = []
    tiles: list[list[int]] = []
    for file in files:
        lines = (SOURCE / file).read_text(encoding="ascii").splitlines()
        while lines:
            head, lines = lines[0].split()[1:], lines[1:]
            tall = 16 if len(lines[0].split("|")[0]) == 16 else 8
            drawn, lines = [line.split("|") for line in lines[:tall]], lines[tall:]
            for place, name in enumerate(head):
                names.append(name)
                for y in range(0, tall, 8):
                    for x in range(0, tall, 8):
                        tiles.append([])
                        for row in drawn[y : y + 8]:
                            shades = [_SHADES[pixel] for pixel in row[place][x : x + 8]]
                            for bit in (0, 1):
                                tiles[-1].append(
                                    sum((s >> bit & 1) << 7 - i for i, s in enumerate(shades))
                                )
                names.extend([""] * (3 if tall == 16 else 0))
    defines = [f"#define T_{name} {number}" for number, name in enumerate(names) if name]
    rows = ",\n".join(",".join(map(str, tile)) for tile in tiles)
    return "\n".join(defines) + f"\nstatic const u8 TILES[] = {{\n{rows}}};\n"


def main() -> None:
    """Builds every cartridge, and says what has changed."""
    for name in TITLES:
        built, file = build(name), path(name)
        same = file.exists() and file.read_bytes() == built
        file.write_bytes(built)
        print(f"{file}: {'as it was' if same else 'new'}")


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        sys.exit(str(error))
