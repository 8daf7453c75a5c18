from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from games.gameboy import pieces, wells
from games.gameboy.cartridges import build
from games.gameboy.console import LEFT, RIGHT, UP, A, B, Console, check_header
from games.gameboy.ram import BLOCKS, OVER, PARCELS, START, RamMap

MAPS = {"blocks": BLOCKS, "parcels": PARCELS}


def begin(level: int, seed: int = 1, steady: bool = True) -> Console:
    console = Console(build.path("blocks"))
    console.tick(120)
    console.write(BLOCKS.address["seed"], seed.to_bytes(4, "little"))
    console.write(BLOCKS.address["start"], [level, steady])
    console.write(BLOCKS.address["reset"], [1])
    console.tick()
    return console


def read(console: Console, ram: RamMap = BLOCKS) -> np.void:
    return ram.view(np.frombuffer(console.read(START, ram.size), np.uint8)[None])[0]


@pytest.mark.parametrize("name", build.TITLES)
def test_the_cartridge_is_what_its_source_says(name: str) -> None:
    if build.compiler() != build.COMPILER:
        pytest.skip(f"sdcc {build.COMPILER} is not here")
    assert build.build(name) == build.path(name).read_bytes()


@pytest.mark.parametrize("name", build.TITLES)
def test_headers(name: str) -> None:
    data = build.path(name).read_bytes()
    check_header(data, name)
    assert len(data) == 0x8000
    assert not any(data[0x104:0x134])  # nobody's logo
    assert sum(data[:0x14E] + data[0x150:]) & 0xFFFF == int.from_bytes(data[0x14E:0x150], "big")
    assert build.TITLES[name].encode() == data[0x134:0x144].rstrip(b"\0")


@pytest.mark.parametrize("name", MAPS)
def test_the_docs_have_the_map(name: str) -> None:
    docs = (Path(__file__).parents[2] / "docs" / "gameboy.md").read_text(encoding="utf-8")
    assert MAPS[name].table() in docs


def test_a_map_that_is_too_long_is_refused() -> None:
    from games.gameboy.ram import Field

    with pytest.raises(ValueError, match="0xc0ff"):
        RamMap([Field("rows", "too many", size=2, count=50)])


def test_pieces_turn_as_they_say() -> None:
    assert pieces.CELLS.shape == (7, 4, 4, 2)
    for kind, ways in enumerate(pieces.TURNS):
        shapes = {tuple(map(tuple, pieces.CELLS[kind, turn].tolist())) for turn in range(4)}
        assert len(shapes) == ways
        for turn in range(4):
            cells = pieces.CELLS[kind, turn]
            assert cells[:, 0].min() == 0  # nothing reaches above the well
            assert len({tuple(cell) for cell in cells.tolist()}) == 4


@pytest.mark.parametrize("level", [0, 5, 9])
def test_what_is_foreseen_frame_by_frame_is_what_the_cartridge_does(level: int) -> None:
    rng = random.Random(level)
    console = begin(level)
    speed = pieces.SPEED[level]
    state = read(console)
    rows = state["rows"].astype(np.uint16)
    piece = wells.new_piece(int(state["kind"]), speed)
    landed = lines = held = 0
    for frame in range(3000):
        keys = rng.choice([0, 0, LEFT, RIGHT, A, B, LEFT | A, UP])
        if keys & held:
            keys = 0
        console.hold(keys)
        console.tick()
        then = read(console)
        if wells.frame(rows, piece, keys & ~held, speed):
            out = np.zeros(16, np.uint16)
            lines += wells.land(rows, piece[0], piece[1], piece[2], piece[3], out)
            rows, landed = out, landed + 1
            if then["phase"] == OVER:
                console.hold(0)
                console.write(BLOCKS.address["seed"], rng.randbytes(4))
                console.write(BLOCKS.address["reset"], [1])
                console.tick()
                then, landed, lines = read(console), 0, 0
                rows, keys = then["rows"].astype(np.uint16), 0
            piece = wells.new_piece(int(then["kind"]), speed)
        else:
            assert then["ticks"] == state["ticks"] + 1, frame
        assert (rows == then["rows"]).all(), frame
        assert piece[1:].tolist() == [
            then["turn"],
            then["column"].astype(np.int8),
            then["row"],
            then["wait"],
        ], frame
        assert (then["pieces"], then["lines"]) == (landed, lines)
        state, held = then, keys
    console.close()


def test_filled_rows_sink_and_no_frame_is_lost() -> None:
    """Bars and squares fill rows; the busiest frames still end in time."""
    console, frames, lines = begin(0, steady=False), 0, 0
    placements = np.zeros((wells.MAX_PLACEMENTS, 2), np.int64)
    effects = np.zeros((wells.MAX_PLACEMENTS, 5), np.int64)
    for _ in range(250):
        state = read(console)
        assert state["ticks"] == frames & 0xFFFF
        level = int(state["level"])
        assert level == min(9, lines // 10)
        piece = wells.new_piece(int(state["kind"]), pieces.SPEED[level])
        rows = state["rows"].astype(np.uint16)
        found = wells.foresee(
            rows, piece, pieces.SPEED[level], console.keys, 0, placements, effects
        )
        worth = effects[:found] @ [0.19, -1.09, -0.1, -0.22, 0]
        best = int(worth.argmax())
        for at, keys in wells.schedule(0, pieces.SPAWN, *placements[best].tolist(), console.keys):
            console.hold(keys, console.frame + at)
        console.tick(int(effects[best, 4]))
        frames += int(effects[best, 4])
        lines += int(effects[best, 0])
        then = read(console)
        assert (then["lines"], then["pieces"]) == (lines, state["pieces"] + 1)
    assert lines > 50
    digits = console.pyboy.tilemap_background[14:18, 9]
    console.tick(10)
    digits = [tile - 1 for tile in console.pyboy.tilemap_background[14:18, 9]]
    assert digits == [int(digit) for digit in f"{lines:04}"]  # what a person reads
    console.close()


def test_the_same_seed_is_the_same_game() -> None:
    kinds = []
    for seed in (7, 7, 8):
        console = begin(0, seed)
        order = []
        for _ in range(12):
            order.append(int(read(console)["kind"]))
            console.hold(UP)
            console.tick()
            console.hold(0)
            console.tick()
        kinds.append(order)
        console.close()
    assert kinds[0] == kinds[1] != kinds[2]


def test_a_person_starts_and_pauses() -> None:
    from games.gameboy.console import START as START_KEY

    console = Console(build.path("blocks"))
    console.tick(120)
    assert read(console)["phase"] == 0
    phases = []
    for _ in range(3):
        console.hold(START_KEY)
        console.tick()
        console.hold(0)
        console.tick(3)
        phases.append(int(read(console)["phase"]))
    assert phases == [1, 3, 1]
    console.close()
