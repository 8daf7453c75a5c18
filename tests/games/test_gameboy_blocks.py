from __future__ import annotations

import numpy as np
import pytest

import games
from games.gameboy import wells
from games.gameboy.batch import ConsoleBatch
from games.gameboy.blocks import BlocksBatched, columns, distinct
from games.gameboy.blocks_text import consequences
from games.gameboy.pieces import WIDTH
from tests.games.gameboy_players import play, stacker


def batched(**options) -> BlocksBatched:
    game = games.batched("blocks", **{"num_games": 4, **options})
    assert isinstance(game, BlocksBatched)
    return game


@pytest.mark.parametrize("delay", [0, 3, 25])
@pytest.mark.parametrize("level", [5, 9])
def test_a_choice_leads_to_what_it_says(delay: int, level: int) -> None:
    game = batched(delay=delay, level=level, seed=3)
    rng = np.random.default_rng(level)
    buried = columns(game.ram[:, 0]["rows"])[1].sum(1)
    late = 0
    for _ in range(40):
        move = (rng.random(4) * game.choice_counts).astype(np.int64)
        effects = game.effects[np.arange(4), game.kept[np.arange(4), move]].copy()
        said = [game.phrasebook[int(game.choices[k, move[k]])] for k in range(4)]
        step = game.step(move)
        assert (step.rewards[:, 0] == effects[:, 0]).all()
        assert (step.elapsed == effects[:, 4]).all()
        then = columns(game.ram[:, 0]["rows"])[1].sum(1)
        for k in range(4):
            if said[k] == "I come too late for this piece":
                late += 1
                continue
            assert said[k].startswith(f"I fill {effects[k, 0]} row")
            if not step.over[k]:
                assert then[k] - buried[k] == effects[k, 1]
        buried = then
    assert late or delay < 25
    assert not late or delay


def test_facts_say_what_the_ram_says() -> None:
    game = batched(choose="buttons", level=9, num_games=3)
    rng = np.random.default_rng(1)
    for _ in range(120):
        game.step(rng.integers(0, 7, 3))
    for k in range(3):
        now = game.ram[k, 0]
        said = game.phrasebook.render(game.facts[k])
        filled = (now["rows"][:, None] >> np.arange(WIDTH) & 1).astype(bool)
        for x in range(WIDTH):
            top = int(filled[:, x].argmax()) if filled[:, x].any() else 16
            assert f"column {x + 1} is {16 - top} high" in said
            holes = int((~filled[top:, x]).sum())
            stated = [fact for fact in said if fact.startswith(f"column {x + 1} has ")]
            assert bool(stated) == bool(holes)
            assert not stated or int(stated[0].split()[3]) == holes
        assert f"the piece has fallen {now['row']} row{'' if now['row'] == 1 else 's'}" in said
        assert len(said) == game.fact_counts[k]


def test_rules_of_thumb_fill_rows_and_chance_does_not() -> None:
    game = batched(pieces=100, num_games=8)
    lines = play(game, stacker, 8)
    assert np.mean(lines) > 30
    chance = batched(pieces=100, num_games=8)
    rng = np.random.default_rng(0)
    assert np.mean(play(chance, lambda _, choices: str(rng.choice(choices)), 8)) < 2


def test_presses_act_when_they_are_due_and_are_known_until_then() -> None:
    game = batched(choose="buttons", delay=8, every=2, num_games=1, level=0)
    left = list(game.phrasebook).index("I press left")
    column, told = [], []
    for turn in range(8):
        move = np.flatnonzero(game.choices[0] == left) if turn == 0 else np.zeros(1, np.int64)
        game.step(move)
        column.append(int(game.ram["column"][0, 0]))
        told.append([f for f in game.phrasebook.render(game.facts[0]) if f.startswith("I press")])
    assert column == [3, 3, 3, 3, 2, 2, 2, 2]  # the press is 8 frames late: it acts in turn 4
    assert told[0] == ["I press left 4 turns from now"]
    assert told[3] == ["I press left 1 turn from now"]
    assert not told[4]
    blind = batched(choose="buttons", delay=8, num_games=1, level=0, pending=False)
    blind.step(np.array([1]))
    assert not [f for f in blind.phrasebook.render(blind.facts[0]) if f.startswith("I press")]


def test_one_after_the_other_decides_less_often() -> None:
    asynchronous = batched(choose="buttons", delay=10, num_games=1)
    sequential = batched(choose="buttons", delay=10, num_games=1, schedule="sequential")
    assert asynchronous.step(np.zeros(1, int)).elapsed[0] == 2
    assert sequential.step(np.zeros(1, int)).elapsed[0] == 10


def test_threads_change_nothing() -> None:
    one, many = batched(threads=1, seed=9), batched(threads=3, seed=9)
    for _ in range(20):
        move = np.zeros(4, np.int64)
        a, b = one.step(move), many.step(move)
        assert (one.facts == many.facts).all()
        assert (one.choices == many.choices).all()
        assert (a.elapsed == b.elapsed).all()


def test_what_is_said_alike_is_offered_once() -> None:
    ids = np.array([[5, 3, 5, 3, 9, -1, -1]])
    kept, rows, counts = distinct(ids)
    assert rows[0, : counts[0]].tolist() == [5, 3, 9]
    assert kept[0, : counts[0]].tolist() == [0, 1, 4]
    assert (rows[0, counts[0] :] == -1).all()


def test_consequences_beyond_what_can_be_said_are_the_nearest() -> None:
    effects = np.array([[[0, 9, 15, 30, 5], [0, 4, 12, 7, 5], [4, -9, 0, -30, 5]]])
    first, second, third = consequences(effects)[0].tolist()
    assert first == second != third


def test_a_well_is_foreseen_by_hand() -> None:
    rows = np.zeros(16, np.uint16)
    rows[15] = 0b0000001111  # four cells on the floor
    out = np.zeros(16, np.uint16)
    assert wells.land(rows, 0, 0, 4, 15, out) == 0  # a bar beside them
    assert out[15] == 0b0011111111
    assert wells.land(out.copy(), 1, 0, 7, 14, out) == 1  # a square fills the row
    assert out[15] == 0b1100000000
    assert not out[14]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"level": 10}, "level must be 0 to 9, got 10"),
        ({"choose": "hands"}, "hands"),
        ({"delay": -1}, "delay must be 0 to 600 frames, got -1"),
        ({"every": 1}, "every must be 2 to 250"),
        ({"schedule": "late"}, "schedule must be"),
        ({"speed": 1}, "unknown option 'speed' of blocks"),
        ({"num_games": 0}, "num_games must be at least 1, got 0"),
    ],
)
def test_bad_options(options, match) -> None:
    with pytest.raises(ValueError, match=match):
        batched(**options)


@pytest.mark.parametrize(
    "name",
    [
        "blocks@pieces=12",
        "blocks@choose=placements@pieces=9@delay=30@level=9",
        "blocks@choose=buttons@pieces=3@level=9@delay=4",
    ],
)
def test_blocks_keeps_the_promises_of_a_game(name: str) -> None:
    testing = pytest.importorskip("games.testing")
    batches: list[ConsoleBatch] = []

    def make(num_games: int, seed: int, restart: bool) -> ConsoleBatch:
        batches.append(games.parse(name)[0].batched(num_games, seed, restart))  # type: ignore[arg-type]
        return batches[-1]

    testing.check_all(make, steps=24)
    for batch in batches:
        batch.close()
