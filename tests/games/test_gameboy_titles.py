"""The titles' contracts, on cartridges that have their header and hold their values.

No cartridge that is sold was at hand: that the addresses are right on one is not shown here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import games
from games.gameboy.cartridge import CartridgeBatched
from games.gameboy.cartridges import build
from games.gameboy.console import Console
from games.gameboy.describe import Tiles, screen_tiles
from games.gameboy.ram import BLOCKS
from games.gameboy.titles import (
    BATTLE,
    ENEMY_HP,
    MAP,
    PLAYER_Y,
    TITLES,
    Game2048,
    KirbysDreamLand,
    Pokemon,
    SuperMarioLand,
    Tetris,
    header_title,
    recognise,
)
from tests.games.gameboy_fakes import cartridge


def console(
    title: str, memory: dict[int, int | bytes], symbols: Path | None = None, lcdc: int = 0x93
) -> Console:
    found = Console(cartridge(title, memory, lcdc), symbols=symbols)
    found.tick(90)
    return found


def background(column: int, row: int) -> int:
    return 0x9800 + 32 * row + column


def sprite(number: int, x: int, y: int, tile: int) -> dict[int, int | bytes]:
    return {0xFE00 + 4 * number: bytes([y + 16, x + 8, tile, 0])}


def test_tetris() -> None:
    memory: dict[int, int | bytes] = {background(2, y): bytes([47] * 10) for y in range(18)}
    memory[background(2, 17)] = bytes([129] * 9 + [47])
    memory[background(2, 16)] = bytes([47, 129] + [47] * 8)
    memory[background(2, 15)] = bytes([47, 47, 129] + [47] * 7)  # buries a cell of column 3
    memory |= {background(14, 10): bytes([47, 47, 1, 2]), background(13, 3): bytes([47] * 5 + [7])}
    memory |= {0xC203: 24 + 1, 0xC213: 8}
    for number, (x, y) in enumerate([(5, 2), (6, 2), (7, 2), (6, 3)]):
        memory |= sprite(number, 8 * x, 8 * y, 3)
    machine, title = console("TETRIS", memory), Tetris()
    said = set(title.facts(machine))
    assert {
        "a T piece falls in column 4",
        "it has made 1 quarter turns",
        "it is 15 above the floor",
        "the next piece is I",
        "column 1 is 1 high",
        "column 2 is 2 high",
        "column 3 is 3 high",
        "column 3 has 1 buried cells",
        "column 10 is 0 high",
    } <= said
    assert title.outcome(machine)[:2] == (12, 7)
    assert not title.over(machine)
    machine.write(background(2, 0), [135])
    assert title.over(machine)


def test_super_mario_land() -> None:
    memory: dict[int, int | bytes] = {0xFFB4: 0x12, 0xDA15: 0x03, 0xDA01: bytes([0x50, 0x03])}
    for y in range(18):
        memory[background(0, y)] = bytes([44] * 20)  # the sky
    memory[background(0, 16)] = bytes([96] * 20)  # the ground
    for number, (x, y) in enumerate([(4, 14), (5, 14), (4, 15), (5, 15)]):
        memory |= sprite(number, 8 * x, 8 * y, (0, 1, 16, 17)[number])
    memory |= sprite(5, 8 * 8, 8 * 15, 144)
    machine, title = console("SUPER MARIOLAND", memory, lcdc=0x83), SuperMarioLand()
    said = set(title.facts(machine))
    assert "this is world 1 level 2" in said
    assert "Mario stands in row 14" in said
    assert "a goomba is 4 right and 0 down" in said
    assert "a block is 1 right and 1 down" in said
    assert "there is nothing under Mario" not in said
    assert len(title.outcome(machine)) == len(title.outcomes)
    assert not title.over(machine)
    machine.write(0xC0A4, [0x39])
    assert title.over(machine)


def test_kirby() -> None:
    machine = console("KIRBY DREAM LAN", {0xD086: 5, 0xD089: 4, 0xD070: bytes([0, 1, 2, 3])})
    title = KirbysDreamLand()
    assert {"Kirby has 5 health", "3 lives are left"} <= set(title.facts(machine))
    assert title.outcome(machine) == (1230,)
    assert not title.over(machine)
    machine.write(0xD086, [0])
    machine.write(0xD089, [1])
    machine.tick()
    assert title.over(machine)
    machine.write(0xD086, [6])  # another game: the end is forgotten
    machine.tick()
    assert not title.over(machine)


def test_pokemon() -> None:
    member = bytearray(44)
    member[0], member[1:3], member[4] = 0xB0, (10).to_bytes(2, "big"), 8
    member[0x21], member[0x22:0x24] = 6, (20).to_bytes(2, "big")
    memory: dict[int, int | bytes] = {MAP: 0, PLAYER_Y: bytes([6, 5]), 0xD356: 0b101}
    memory |= {0xD163: 1, 0xD164: bytes([0xB0, 0xFF]), 0xD16B: bytes(member)}
    memory |= {0xD273: b"\x50", 0xD2B5: b"\x50", BATTLE: 1, ENEMY_HP: bytes([0, 12])}
    memory |= {0x9C00 + 32 * 14 + 2: bytes([0x85, 0x88, 0x86, 0x87, 0x93])}
    machine, title = console("POKEMON RED", memory, lcdc=0xF3), Pokemon()
    said = set(title.facts(machine))
    assert {
        "this is pallet town",
        "I am in column 5",
        "I am in row 6",
        "I fight a wild one",
        "the enemy has 10 to 14 HP",
        "member 1 has level 6",
        "member 1 has 2 of 4 quarters of its HP",
        "member 1 is not well",
        "I have 2 badges",
    } <= said
    assert "the screen says FIGHT" in said
    assert title.outcome(machine) == (26, 6, 2)
    assert not title.over(machine)


def test_2048(tmp_path: Path) -> None:
    symbols = tmp_path / "2048.sym"
    symbols.write_text("00:c100 _board\n00:c140 _score\n00:c142 _winner\n00:c143 _state\n")
    memory: dict[int, int | bytes] = {0xC100: bytes([2, 0, 0, 0, 64, 0]), 0xC140: bytes([44, 1])}
    machine, title = console("2048", memory | {0xC143: 1}, symbols=symbols), Game2048()
    said = set(title.facts(machine))
    assert said == {"the cell in row 1 column 1 holds 2", "the cell in row 1 column 3 holds 64"}
    assert title.outcome(machine) == (300,)
    assert not title.over(machine)
    machine.write(0xC143, [3])
    machine.tick()
    assert title.over(machine)
    file = tmp_path / "alone" / "2048.gb"
    file.parent.mkdir()
    file.write_bytes(cartridge("2048"))
    with pytest.raises(ValueError, match=r"put 2048\.map beside"):
        recognise(file)


@pytest.mark.parametrize("kind", [kind for kind in TITLES if kind.versions])
def test_other_versions_are_refused_unless_they_are_wanted(kind, tmp_path: Path) -> None:
    file = tmp_path / "own.gb"
    file.write_bytes(cartridge(kind.headers[0]))
    with pytest.raises(ValueError, match=r"not a version that is known .*any_version=true"):
        recognise(file)
    data, title = recognise(file, any_version=True)
    assert isinstance(title, kind)
    assert header_title(data) == kind.headers[0]


def test_without_a_cartridge_one_line_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"name its file, as in gameboy@rom=game\.gb"):
        games.batched("gameboy", num_games=1)
    with pytest.raises(ValueError, match="there is no cartridge at"):
        games.batched("gameboy", num_games=1, rom=str(tmp_path / "none.gb"))
    (tmp_path / "text.gb").write_text("no cartridge")
    with pytest.raises(ValueError, match="is no Game Boy cartridge"):
        games.batched("gameboy", num_games=1, rom=str(tmp_path / "text.gb"))


def any_game(**options) -> CartridgeBatched:
    rom = str(build.path("blocks"))
    where = {"score_at": hex(BLOCKS.address["pieces"]), "over_at": None, **options}
    return games.batched("gameboy", rom=rom, **{"num_games": 2, **where})  # type: ignore[return-value]


def test_any_cartridge_is_played_by_its_tiles() -> None:
    game = any_game(turns=60)
    start, up = (list(game.phrasebook).index(f"I press {key}") for key in ("start", "up"))
    before = len(game.phrasebook)
    game.step(np.array([start, start]))
    rewards = 0.0
    for turn in range(20):
        step = game.step(np.array([up if turn % 2 else 0, 0]))
        rewards += float(step.rewards[0, 0])
    assert rewards == step.outcome["score"][0] > 3
    assert step.outcome["score"][1] < step.outcome["score"][0]
    assert len(game.phrasebook) > before
    said = game.phrasebook.render(game.facts[0])
    assert any(fact.startswith("tile ") for fact in said)
    assert any(fact.startswith("sprite ") for fact in said)
    ended = [game.step(np.zeros(2, int)).truncated.all() for _ in range(39)]
    assert ended.index(True) == 38


def test_tiles_are_read_where_the_screen_is() -> None:
    machine = console("SCROLLED", {background(3, 2): 7, 0xFF43: 8, 0xFF42: 16})
    tiles = screen_tiles(machine)
    assert (len(tiles), len(tiles[0])) == (18, 20)
    assert tiles[0][2] in (7, 256 + 7)
    said = set(Tiles().facts(machine))
    assert f"tile {tiles[0][2]} is in field 1 of row 1" in said
    window = console("WINDOWED", {0x9C00: 9, 0xFF4A: 8, 0xFF4B: 7 + 16})
    window.write(0xFF40, [0xF3])
    window.tick()
    assert screen_tiles(window)[1][2] % 256 == 9


def test_a_cartridge_keeps_the_promises_of_a_game() -> None:
    testing = pytest.importorskip("games.testing")

    def make(num_games: int, seed: int, restart: bool) -> CartridgeBatched:
        rom = str(build.path("blocks"))
        setting = games.setting("gameboy", rom=rom, turns=6, score_at="0xC0B6", most_facts=40)
        return setting.batched(num_games, seed, restart)  # type: ignore[return-value]

    testing.check_all(make, steps=14)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"score_at": "12"}, "score_at must be an address such as 0xC0A0"),
        ({"title": "tetris"}, "title must be auto or any"),
        ({"turns": 0}, "turns must be 1 to 100000"),
    ],
)
def test_bad_options(options, match) -> None:
    with pytest.raises(ValueError, match=match):
        any_game(**options)
