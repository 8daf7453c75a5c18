from __future__ import annotations

import time

import numpy as np
import pytest

from games.gameboy.cartridges import build
from games.gameboy.console import FRAME_RATE, KEYS, LEFT, RIGHT, A, Console, mask
from games.gameboy.link import Pair
from games.gameboy.pace import Pacer
from games.gameboy.ram import BLOCKS, PARCELS, START


@pytest.fixture
def console() -> Console:
    found = Console(build.path("blocks"))
    found.tick(120)
    found.write(BLOCKS.address["reset"], [1])
    found.tick()
    return found


def keys_of(console: Console) -> int:
    return console.read(BLOCKS.address["keys"], 1)[0]


def test_keys_change_at_the_frame_they_are_due(console: Console) -> None:
    start = console.frame
    console.hold(LEFT, start + 2)
    console.hold(A | RIGHT, start + 5)
    console.hold(A, start + 5)  # of two for one frame the last counts
    console.hold(0, start + 6)
    seen = []
    for _ in range(8):
        console.tick()
        seen.append(keys_of(console))
    assert seen == [0, 0, LEFT, LEFT, LEFT, A, 0, 0]
    assert console.frame == start + 8


def test_frames_at_once_are_the_same_as_one_by_one(console: Console) -> None:
    other = Console(build.path("blocks"))
    other.tick(120)
    other.write(BLOCKS.address["reset"], [1])
    other.tick()
    for which in (console, other):
        for at, keys in ((0, LEFT), (1, 0), (7, RIGHT | A), (8, 0), (30, LEFT)):
            which.hold(keys, which.frame + at)
    console.tick(60)
    for _ in range(60):
        other.tick()
    assert console.read(START, BLOCKS.size) == other.read(START, BLOCKS.size)


def test_every_key_arrives_alone(console: Console) -> None:
    for name in KEYS:
        console.hold(mask([name]))
        console.tick()
        assert keys_of(console) == mask([name])
    with pytest.raises(ValueError, match="turbo"):
        mask(["turbo"])


def test_the_past_cannot_be_changed(console: Console) -> None:
    with pytest.raises(ValueError, match="has gone by"):
        console.hold(A, console.frame - 1)
    with pytest.raises(ValueError, match="256"):
        console.hold(256)


def test_a_screen_is_a_copy(console: Console) -> None:
    console.tick(1, render=True)
    before = console.screen()
    kept = before.copy()
    console.write(BLOCKS.address["reset"], [1])
    console.tick(30, render=True)
    console.hold(RIGHT)
    console.tick(3, render=True)
    assert (before == kept).all()
    assert (console.screen() != kept).any()
    assert before.shape == (144, 160, 3)


def test_what_is_no_cartridge_is_refused(tmp_path) -> None:
    data = bytearray(build.path("blocks").read_bytes())
    data[0x134] ^= 1
    file = tmp_path / "broken.gb"
    file.write_bytes(data)
    with pytest.raises(ValueError, match="checksum of its header"):
        Console(file)
    with pytest.raises(ValueError, match="at least 32768"):
        Console(b"short")


def start(pair: Pair, seed: int, pace: int = 2) -> None:
    pair.latch.clear()
    for side, console in enumerate(pair.consoles):
        console.cancel()
        console.write(PARCELS.address["seed"], seed.to_bytes(4, "little"))
        console.write(PARCELS.address["seat"], [side, pace, 12, 4])
        console.write(PARCELS.address["reset"], [1])
    pair.tick()


def views(pair: Pair) -> list[np.void]:
    return [
        PARCELS.view(np.frombuffer(console.read(START, PARCELS.size), np.uint8)[None])[0]
        for console in pair.consoles
    ]


def test_a_pair_hears_each_other_and_forgets_the_game_before() -> None:
    pair = Pair(build.path("parcels"))
    pair.tick(120)
    records = []
    for seed in (5, 6, 5):
        start(pair, seed)
        record = []
        for turn in range(110):
            for side, console in enumerate(pair.consoles):
                console.hold([A, LEFT, RIGHT, 2][(turn * (side + 1) + seed) % 4], console.frame)
                console.hold(0, console.frame + 1)
            pair.tick(2)
            first, second = views(pair)
            record.append([view.tobytes() for view in (first, second)])
            assert first["their_lane"] == second["lane"]
            assert second["their_lane"] == first["lane"]
            assert first["their_number"] == second["number"]
            assert first["their_stamp"] == second["stamp"] or first["their_number"] == 12
            assert (first["sparks"], first["their_sparks"]) == (
                second["their_sparks"],
                second["sparks"],
            )
        assert first["phase"] == second["phase"] == 2
        records.append(record)
    assert records[0] == records[2] != records[1]
    pair.close()


def test_without_a_cable_nobody_is_heard() -> None:
    console = Console(build.path("parcels"))
    console.tick(120)
    console.write(PARCELS.address["seat"], [0, 2, 12, 4])
    console.write(PARCELS.address["reset"], [1])
    console.tick(400)
    view = PARCELS.view(np.frombuffer(console.read(START, PARCELS.size), np.uint8)[None])[0]
    assert (view["number"], view["their_number"], view["phase"]) == (12, 0, 1)
    console.close()


def test_ragged_ticking_changes_nothing_but_when() -> None:
    """The two need not run in step: each says how things are, and none is lost."""
    pair = Pair(build.path("parcels"))
    pair.tick(120)
    rng = np.random.default_rng(0)
    start(pair, 3, pace=8)
    first, second = pair.consoles
    while any(view["phase"] != 2 for view in views(pair)):
        ahead = first.frame - second.frame
        for console in (first, second) if rng.random() < 0.5 else (second, first):
            for _ in range(int(rng.integers(0, 3))):
                if ahead * (1 if console is first else -1) > 2:
                    break
                if rng.random() < 0.3:
                    console.hold(int(rng.choice([1, 2, LEFT, RIGHT])))
                    console.hold(0, console.frame + 1)
                console.tick()
    one, other = views(pair)
    assert (one["right"], one["their_right"]) == (other["their_right"], other["right"])
    assert (one["sparks"], one["their_sparks"]) == (other["their_sparks"], other["sparks"])
    assert one["number"] == other["number"] == 12
    pair.close()


def test_pacing_does_not_drift() -> None:
    pacer, count = Pacer(), 60
    late = []
    for frame in pacer.run(count):
        late.append(time.monotonic() - pacer.deadline(frame))
    assert pacer.frames == count
    assert np.median(late) < 0.002
    assert pacer.deadline(count) - pacer.began == pytest.approx(count / FRAME_RATE, abs=1e-9)


@pytest.mark.parametrize("late", ["catch_up", "skip"])
def test_frames_that_are_missed_are_counted(late) -> None:
    pacer, frames = Pacer(late), []
    for frame in pacer.run(20):
        frames.append(frame)
        if frame == 3:
            time.sleep(4.5 / FRAME_RATE)
    assert pacer.missed >= 3
    if late == "catch_up":
        assert frames == [*range(20)]
    else:
        assert pacer.frames == len(frames) == 20 - pacer.missed
        assert frames[4] >= 7
    with pytest.raises(ValueError, match="sometimes"):
        Pacer("sometimes")  # type: ignore[arg-type]
