"""Titles that a person brings: which cartridge it is, how it starts, what its RAM says.

No cartridge that is sold comes with Troupe. A title is recognised by the header of the person's own
file, and its version by the file's SHA-1. The addresses are those of PyBoy's game wrappers; what is
read beside them says so. None of this could be run on a real cartridge here: the tests run it on
cartridges of our own with the title's header, into whose memory the title's values are written.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from games.gameboy.console import Console, check_header
from games.gameboy.describe import Tiles

BATTLE, ENEMY_HP = 0xD057, 0xCFE6
MAP, PLAYER_Y, PLAYER_X = 0xD35E, 0xD361, 0xD362
"""Pokemon Red and Blue, of the disassembly of pret; not among what PyBoy's wrapper reads."""


class Title(ABC):
    """What is known of one title.

    Attributes:
        name: what a person calls it.
        headers: titles in the cartridge's header.
        versions: SHA-1 of the files that the addresses belong to; () where any will do.
        outcomes: names of the outcomes, the headline first.
    """

    name: ClassVar[str]
    headers: ClassVar[tuple[str, ...]]
    versions: ClassVar[tuple[str, ...]] = ()
    outcomes: ClassVar[tuple[str, ...]] = ("score",)

    def start(self, console: Console) -> None:
        """Goes through the menus, to where a game begins; remembers it."""
        console.pyboy.game_wrapper.start_game(timer_div=0)

    def restart(self, console: Console, seed: int) -> None:
        """Goes back to where a game begins; what is random in it depends on the seed."""
        console.pyboy.game_wrapper.reset_game(timer_div=seed & 0xFF)

    @abstractmethod
    def facts(self, console: Console) -> Iterable[str]:
        """What can be seen, in sentences."""

    def outcome(self, console: Console) -> tuple[float, ...]:
        """The outcomes as they stand; a seat earns what the first one gains."""
        return (float(console.pyboy.game_wrapper.score),)

    def over(self, console: Console) -> bool:
        """Whether the game has ended."""
        return bool(console.pyboy.game_wrapper.game_over())


def binned(number: int, width: int) -> str:
    """A number roughly: "40 to 49" for a width of 10."""
    low = number // width * width
    return f"{low} to {low + width - 1}"


class Tetris(Title):
    """Rows, heights, the next piece, and where the falling one is."""

    name = "Tetris"
    headers = ("TETRIS",)
    versions = ("74591cc9501af93873f9a5d3eb12da12c0723bbc",)
    outcomes = ("lines", "score", "level")
    _PIECES: ClassVar = {0: "L", 4: "J", 8: "I", 12: "O", 16: "Z", 20: "S", 24: "T"}
    _FALLING, _NEXT = 0xC203, 0xC213  # of the falling one: not among what PyBoy's wrapper reads
    _BLANK, _LEFT, _COLUMNS = 47, 2, 10

    def facts(self, console: Console) -> Iterable[str]:
        """See ``Title``."""
        wrapper, (falling,) = console.pyboy.game_wrapper, console.read(self._FALLING, 1)
        (following,) = console.read(self._NEXT, 1)
        sprites = [s for s in sprites_of(console) if s.x < 8 * (self._LEFT + self._COLUMNS)]
        if falling & 0xFC in self._PIECES and sprites:
            column = min(sprite.x for sprite in sprites) // 8 - self._LEFT + 1
            height = 18 - max(sprite.y for sprite in sprites) // 8
            piece = self._PIECES[falling & 0xFC]
            yield f"a {piece} piece falls in column {column}"
            yield f"it has made {falling & 3} quarter turns"
            yield f"it is {height} above the floor"
        if following & 0xFC in self._PIECES:
            yield f"the next piece is {self._PIECES[following & 0xFC]}"
        well = np.array(wrapper.game_area()) != self._BLANK
        well[: self._top(well)] = False  # what has no floor under it still falls
        for x in range(self._COLUMNS):
            filled = np.flatnonzero(well[:, x])
            height = len(well) - int(filled[0]) if len(filled) else 0
            yield f"column {x + 1} is {height} high"
            if height > len(filled):
                yield f"column {x + 1} has {height - len(filled)} buried cells"
        yield f"the level is {wrapper.level}"

    @staticmethod
    def _top(well: np.ndarray[Any, Any]) -> int:
        """The highest row from which on every row below holds something."""
        empty = np.flatnonzero(~well.any(1))
        return int(empty[-1]) + 1 if len(empty) else 0

    def outcome(self, console: Console) -> tuple[float, ...]:
        """See ``Title``."""
        wrapper = console.pyboy.game_wrapper
        return float(wrapper.lines), float(wrapper.score), float(wrapper.level)


class SuperMarioLand(Title):
    """World, time, lives, and what is near Mario."""

    name = "Super Mario Land"
    headers = ("SUPER MARIOLAND",)
    versions = ("418203621b887caa090215d97e3f509b79affd3e",)
    outcomes = ("progress", "score", "coins")
    _THINGS: ClassVar = dict(
        enumerate(
            (
                *("plane", "submarine", "shot", "coin", "mushroom", "heart", "star", "lever"),
                *("block", "moving block", "block to push", "question block", "pipe", "goomba"),
                *("koopa", "plant", "moth", "flying moth", "sphinx", "big sphinx", "fist", "bill"),
                *("projectile", "shell", "explosion", "spike"),
            ),
            2,
        )
    )
    _NEAR = 6
    _LEVEL = 4000  # pixels that count for a level behind Mario; none is as long

    def facts(self, console: Console) -> Iterable[str]:
        """See ``Title``."""
        wrapper = console.pyboy.game_wrapper
        wrapper.game_area_mapping(wrapper.mapping_compressed, 0)
        area = np.array(wrapper.game_area())
        world, level = wrapper.world
        yield f"this is world {world} level {level}"
        yield f"{wrapper.lives_left} lives are left"
        yield f"{binned(wrapper.time_left, 50)} seconds are left"
        rows, columns = np.nonzero(area == 1)
        if not len(rows):
            return
        y, x = int(rows.max()), int(columns.min())
        yield f"Mario stands in row {y + 1}"
        if y + 1 < len(area) and not area[y + 1, x : x + 2].any():
            yield "there is nothing under Mario"
        for dy, dx in sorted(
            ((int(r) - y, int(c) - x) for r, c in np.argwhere(area > 1)),
            key=lambda at: abs(at[0]) + abs(at[1]),
        ):
            if abs(dx) <= self._NEAR and abs(dy) <= self._NEAR:
                thing = self._THINGS.get(int(area[y + dy, x + dx]), "thing")
                side = f"{abs(dx)} {'left' if dx < 0 else 'right'}"
                yield f"a {thing} is {side} and {abs(dy)} {'up' if dy < 0 else 'down'}"

    def outcome(self, console: Console) -> tuple[float, ...]:
        """See ``Title``."""
        wrapper = console.pyboy.game_wrapper
        world, level = wrapper.world
        behind = self._LEVEL * (3 * (world - 1) + level - 1)
        progress = float(behind + wrapper.level_progress)
        return progress, float(wrapper.score), float(wrapper.coins)


class KirbysDreamLand(Title):
    """Health, lives, and what is on the screen."""

    name = "Kirby's Dream Land"
    headers = ("KIRBY DREAM LAN",)
    versions = ("90979baa1d0e24b41b5c304c5ddaf77450692d5a",)
    _tiles = Tiles()

    def facts(self, console: Console) -> Iterable[str]:
        """See ``Title``."""
        wrapper = console.pyboy.game_wrapper
        yield f"Kirby has {wrapper.health} health"
        yield f"{wrapper.lives_left} lives are left"
        yield from self._tiles.facts(console)

    def over(self, console: Console) -> bool:
        """See ``Title``."""
        # PyBoy's own flag stayed up after a reset in some versions: the counters are enough.
        wrapper = console.pyboy.game_wrapper
        return bool(wrapper.health == 0 and wrapper.lives_left <= 0)


class Pokemon(Title):
    """Where the player is, the party, and the battle."""

    name = "Pokemon Red or Blue"
    headers = ("POKEMON RED", "POKEMON BLUE")
    versions = (
        "ea9bcae617fdf159b045185467ae58b2e4a48b9a",
        "d7037c83e1ae5b39bde3c30787637ba1d4c48ce2",
    )
    outcomes = ("progress", "levels", "badges")

    def facts(self, console: Console) -> Iterable[str]:
        """See ``Title``."""
        (place,) = console.read(MAP, 1)
        y, x = console.read(PLAYER_Y, 2)
        yield f"this is {_maps().get(place, f'map {place}')}"
        yield f"I am in column {x}"
        yield f"I am in row {y}"
        (battle,) = console.read(BATTLE, 1)
        if battle in (1, 2):
            yield f"I fight a {'wild one' if battle == 1 else 'trainer'}"
            yield f"the enemy has {binned(int.from_bytes(console.read(ENEMY_HP, 2), 'big'), 5)} HP"
        for number, member in enumerate(console.pyboy.game_wrapper.party, 1):
            health = 4 * member["hp"] // max(member["max_hp"], 1)
            name = _species().get(member["species"], f"species {member['species']}")
            yield f"member {number} is a {name}"
            yield f"member {number} has level {member['level']}"
            yield f"member {number} has {health} of 4 quarters of its HP"
            if member["status"]:
                yield f"member {number} is not well"
        badges = self._badges(console)
        yield f"I have {badges} badges"
        yield from _screen_text(console)

    @staticmethod
    def _badges(console: Console) -> int:
        from pyboy.plugins.game_wrapper_pokemon_gen1_constants import OBTAINED_BADGES_ADDRESS

        return console.read(OBTAINED_BADGES_ADDRESS, 1)[0].bit_count()

    def outcome(self, console: Console) -> tuple[float, ...]:
        """See ``Title``."""
        levels = sum(member["level"] for member in console.pyboy.game_wrapper.party)
        badges = self._badges(console)
        return float(levels + 10 * badges), float(levels), float(badges)

    def over(self, console: Console) -> bool:
        """See ``Title``."""
        # It has no end but the last credits: a game is cut off.
        return False


class Game2048(Title):
    """The board. PyBoy reads it through the symbols of the homebrew's build."""

    name = "2048"
    headers = ("2048",)

    def facts(self, console: Console) -> Iterable[str]:
        """See ``Title``."""
        wrapper = console.pyboy.game_wrapper
        for y, row in enumerate(wrapper.board, 1):
            for x, value in enumerate(row, 1):
                if value:
                    yield f"the cell in row {y} column {x} holds {value}"

    def over(self, console: Console) -> bool:
        """See ``Title``."""
        wrapper = console.pyboy.game_wrapper
        return bool(wrapper.game_over() or wrapper.winner)


TITLES: tuple[type[Title], ...] = (Tetris, SuperMarioLand, KirbysDreamLand, Pokemon, Game2048)


def recognise(path: Path, any_version: bool = False) -> tuple[bytes, Title | None]:
    """Reads a person's cartridge.

    Args:
        path: its file.
        any_version: whether a file with another SHA-1 than the known ones is taken all the same.

    Returns:
        its bytes, and what is known of its title: None for one that we do not know.

    Raises:
        ValueError: if there is no such file, it is no cartridge, or of another version.
    """
    if not path.is_file():
        raise ValueError(
            f"there is no cartridge at {path}: name the file of your own, none comes with Troupe"
        )
    data = path.read_bytes()
    check_header(data, str(path))
    title = header_title(data)
    for kind in TITLES:
        if title not in kind.headers:
            continue
        digest = hashlib.sha1(data, usedforsecurity=False).hexdigest()
        if kind.versions and digest not in kind.versions and not any_version:
            raise ValueError(
                f"{path} is {kind.name}, but not a version that is known (SHA-1 {digest}): its RAM "
                "may be laid out otherwise; any_version=true plays it all the same"
            )
        if kind is Game2048 and symbols(path) is None:
            raise ValueError(f"2048 is read through its symbols: put {path.stem}.map beside {path}")
        return data, kind()
    return data, None


def symbols(path: Path) -> Path | None:
    """The file of symbols beside a cartridge, None without one."""
    beside = (path.with_suffix(suffix) for suffix in (".map", ".sym"))
    return next((file for file in beside if file.is_file()), None)


def header_title(data: bytes) -> str:
    """The title in a cartridge's header, as PyBoy reads it."""
    return data[0x134:0x143].split(b"\0")[0].decode("ascii", "replace")


def sprites_of(console: Console) -> list[Any]:
    """The sprites that are on the screen."""
    found = (console.pyboy.get_sprite(number) for number in range(40))
    return [sprite for sprite in found if sprite.on_screen]


def _maps() -> dict[int, str]:
    from pyboy.plugins.game_wrapper_pokemon_gen1_constants import MAPS

    return {number: name.replace("_", " ") for name, number in MAPS.items()}


def _species() -> dict[int, str]:
    from pyboy.plugins.game_wrapper_pokemon_gen1_constants import POKEMON_SPECIES_NAMES

    return {number: str(name).title() for number, name in POKEMON_SPECIES_NAMES.items()}


def _screen_text(console: Console) -> Iterable[str]:
    """Lines of letters on the screen, such as a menu's."""
    from pyboy.plugins.game_wrapper_pokemon_gen1_constants import POKEMON_TEXT_DECODING

    window = console.pyboy.tilemap_window
    for y in range(18):
        line = "".join(
            letter if len(letter := str(POKEMON_TEXT_DECODING.get(tile, " "))) == 1 else " "
            for tile in window[:20, y]
        )
        words = " ".join(word for word in line.split() if word.isalpha())
        if words:
            yield f"the screen says {words}"
