from __future__ import annotations

import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import games
from games.gameboy import record, sorting
from games.gameboy.console import LEFT, START, UP, A, B
from games.gameboy.keyboard import HOLD, Keys
from games.gameboy.pace import Pacer
from games.gameboy.play import by_sentences, sit_down
from games.gameboy.record import KeyRecord
from games.gameboy.screen import HALF_BLOCK, beside, half_blocks, save_gif
from games.world import World
from tests.games.gameboy_players import sorter


def test_keys_are_held_for_a_few_frames() -> None:
    keys = Keys()
    keys.feed(b"\x1b[Dx", 10)
    assert keys.held(10) == keys.held(10 + HOLD - 1) == LEFT | A
    assert keys.held(10 + HOLD) == 0
    keys.feed(b"\x1b", 20)  # half a sequence
    keys.feed(b"[A", 21)
    assert keys.held(21) == UP
    keys.feed(b"?\r\x1bz", 30)  # what is not known is passed over
    assert keys.held(30) in (START, START | B)
    assert not keys.leave
    keys.feed(b"q", 40)
    assert keys.leave


def test_half_blocks_show_two_pixels_in_a_character() -> None:
    screen = np.zeros((4, 3, 3), np.uint8)
    screen[0, 1] = (255, 0, 10)
    text = half_blocks(screen)
    assert len(text.split("\n")) == 2
    assert text.count(HALF_BLOCK) == 6
    assert "38;2;255;0;10;48;2;0;0;0m" in text
    wide = np.zeros((144, 160, 3), np.uint8)
    assert half_blocks(wide, 80).split("\n")[0].count(HALF_BLOCK) == 80
    assert half_blocks(wide, 300).split("\n")[0].count(HALF_BLOCK) == 160
    assert beside([wide, wide], gap=6).shape == (144, 326, 3)


def person(script: dict[int, bytes]):
    """A terminal in which somebody types, by frames."""
    frame = -1

    def read() -> bytes:
        nonlocal frame
        frame += 1
        return script.get(frame, b"")

    return read


def test_a_game_is_played_recorded_and_filmed(tmp_path: Path) -> None:
    game = KeyRecord("blocks", 4, {"level": 9, "pieces": 6}, [[]]).batched()
    shown = []
    typed = {frame: b"\x1b[A" if frame % 10 == 0 else b"\x1b[D" for frame in range(0, 300, 5)}
    held = sit_down(game, Keys(), person(typed), None, None, lambda: shown.append(1))
    outcome = game.outcome()
    assert outcome["pieces"] == 6
    assert len(shown) == (len(held[0]) + 1) // 2
    game.close()
    played = KeyRecord("blocks", 4, {"level": 9, "pieces": 6}, held, ("you",))
    file = tmp_path / "game.json"
    played.save(file)
    assert record.is_record(file)
    again = record.load(file)
    assert again == KeyRecord("blocks", 4, {"level": 9, "pieces": 6}, held, ["you"])
    pictures = []
    for state, picture in again.frames(every=4):
        last = state.outcome()
        pictures.append(picture)
    assert last == outcome  # the last frame as well, which is no fourth one
    gif = tmp_path / "game.gif"
    assert save_gif(gif, pictures, every=4, scale=1) == len(pictures)
    with Image.open(gif) as image:
        assert image.n_frames > 5
        assert image.size == (160, 144)
        seconds = sum(_durations(image)) / 1000
    assert seconds == pytest.approx(4 * len(pictures) / 59.7275, abs=0.02)


def _durations(image: Image.Image):
    for number in range(image.n_frames):
        image.seek(number)
        yield image.info["duration"]


def test_a_person_and_a_partner_sort_parcels() -> None:
    """The person does nothing but wait; the partner tells, and is told nothing."""
    game = KeyRecord("parcels", 3, {"pace": 6, "parcels": 2}, [[], []]).batched()
    (code, _) = sorting.perfect_codes()
    held = sit_down(game, Keys(), person({}), by_sentences(sorter(code))(game), None, lambda: None)
    assert not any(held[0])
    assert any(held[1])
    assert game.is_over
    assert game.ram["i_told"].shape == (1, 2)
    game.close()
    states = [
        state.outcome()
        for state, _ in KeyRecord("parcels", 3, {"pace": 6, "parcels": 2}, held).frames(every=8)
    ]
    assert states[-1]["right"] <= 4


def test_what_is_no_record_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.json"
    file.write_text('{"game": "hanabi"}')
    assert not record.is_record(file)
    assert not record.is_record(tmp_path / "none.json")
    with pytest.raises(ValueError, match=r"other\.json is no recorded game"):
        record.load(file)
    with pytest.raises(ValueError, match="got 'chess'"):
        KeyRecord("chess", 1)
    with pytest.raises(ValueError, match="2 consoles"):
        KeyRecord("parcels", 1, {}, [[0]])
    with pytest.raises(ValueError, match="no pictures"):
        save_gif(tmp_path / "none.gif", [])


def test_without_a_terminal_one_line_says_so() -> None:
    code = "from games.gameboy.play import play; play('blocks', 1, {})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert "there is no terminal to play in" in done.stderr


def test_a_terminal_is_as_it_was_when_somebody_leaves() -> None:
    code = (
        "from games.gameboy.play import play; r, o = play('blocks', 1, {'level': 9});"
        "print('frames', len(r.keys[0]))"
    )
    main, side = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", code], stdin=side, stdout=side, stderr=side)
    seen, end = b"", time.monotonic() + 60
    while HALF_BLOCK.encode() not in seen and time.monotonic() < end:
        seen += os.read(main, 65536)
    os.write(main, b"q")
    while b"frames" not in seen and time.monotonic() < end:
        seen += os.read(main, 65536)
    assert process.wait(30) == 0
    assert b"\x1b[?25h\x1b[?1049l" in seen
    os.close(main)
    os.close(side)


def test_a_world_goes_on_without_an_answer() -> None:
    game = games.batched("parcels", num_games=1, restart=False, parcels=2, pace=6, told=2)
    world = World(game)
    assert world.rate == pytest.approx(59.7275 / 6, abs=1e-3)
    book = list(game.phrasebook)
    left, right = book.index("I move left"), book.index("I move right")
    seen = world.observe(pending=[[left, right], []])
    said = game.phrasebook.render(seen["facts"][0])
    assert "I move left in 1 turns" in said
    assert "I move right in 2 turns" in said
    assert seen["facts"].shape[0] == 2
    world.observe(pending=[[], []])
    world.advance([left, None])
    world.advance([left, None])  # cannot be chosen any more: the crane is at the end
    assert world.counts == {"played": 1, "nothing": 2, "stale": 1}
    frames = []
    pacer = Pacer("skip")
    world.advance([None, None], pacer, lambda: frames.append(pacer.frames))
    assert pacer.frames == 6
    while not world.over:
        world.advance([None, None])
    assert world.turn == 16
    with pytest.raises(ValueError, match="num_games=1, got 2"):
        World(games.batched("parcels", num_games=2))
    for waits in ("blocks", "hanabi"):
        with pytest.raises(ValueError, match="cannot be played in real time"):
            World(games.batched(waits, num_games=1))


def test_who_is_quick_does_not_overrun_what_is_to_be_written() -> None:
    """A spark told at once and a crane that moves: so much waits for the screen to come to rest."""
    presses = [32, 1, 2, 16, 16]
    keys = [mask for press in presses for mask in (press, *[0] * 11)]
    film = KeyRecord("parcels", 4, {"pace": 12, "parcels": 5}, [keys, keys]).frames(every=1)
    *_, (game, _) = film
    console = game._consoles[0][0]
    first = console.pyboy.tilemap_background[1, 0] - (ord("M") - ord("A"))  # of "MINE"
    said = "".join(
        chr(tile - first + ord("A")) if tile >= first else " "
        for tile in console.pyboy.tilemap_background[1:18, 17]
    )
    assert said.startswith("A COLOUR ")
    assert said.endswith(" SHAPE")
