"""Social dilemmas: their rules, and that their optima are what can be had."""

from __future__ import annotations

import itertools
from functools import lru_cache

import numpy as np
import pytest
from numpy.typing import NDArray

import games
from games.social import (
    DilemmaConfig,
    EscapeRoomConfig,
    HarvestBatched,
    HarvestConfig,
    RepeatedBatched,
    StagHuntConfig,
    escape_room,
    repeated,
)
from games.social.harvest import neighbours
from games.social.harvest_optimum import bound, optimum


def choose(batch: games.BatchedGame, said: list[str]) -> NDArray[np.int64]:
    """Indices of what seats say, the same in every game."""
    wanted = batch.phrasebook.parse(said)[batch.due_seat]
    found = batch.choices == wanted[:, None]
    assert found.any(1).all()
    return found.argmax(1)


def at_random(batch: games.BatchedGame, rng: np.random.Generator) -> NDArray[np.int64]:
    return (rng.random(len(batch.due_game)) * batch.choice_counts).astype(np.int64)


@pytest.mark.parametrize(("players", "pullers", "best"), [(2, 1, 9), (3, 2, 8), (5, 2, 28)])
def test_the_way_out_of_the_room(players: int, pullers: int, best: float) -> None:
    name = f"escape-room:{players}@pullers={pullers}"
    batch = games.batched(name, num_games=2, restart=False)
    assert escape_room.optimum(EscapeRoomConfig(players, pullers)) == best == batch.max_score
    there = ["I go to the lever"] * pullers + ["I go to the door"] * (players - pullers)
    step = batch.step(choose(batch, there))
    assert step.over.all()
    assert (step.outcome["welfare"] == best).all()
    assert (step.outcome["escaped"] == players - pullers).all()
    assert step.rewards[0].tolist() == [-1] * pullers + [10] * (players - pullers)


def test_a_room_in_which_nobody_pulls() -> None:
    batch = games.batched("escape-room:2", num_games=1, restart=False)
    total = 0.0
    for turn in range(5):
        step = batch.step(choose(batch, ["I go to the door"] * 2))
        assert step.over[0] == (turn == 4)
        assert step.rewards[0].tolist() == ([-1, -1] if turn == 0 else [0, 0])
        total += step.rewards.sum()
    assert step.outcome["welfare"][0] == total == -2
    assert "player A is at the door" in batch.phrasebook.render(batch.observe(0)[0][0])


def test_no_play_of_the_room_beats_the_optimum() -> None:
    rng, best = np.random.default_rng(0), -np.inf
    batch = games.batched("escape-room:3", num_games=512)
    for _ in range(60):
        step = batch.step(at_random(batch, rng))
        best = max(best, *step.outcome["welfare"][step.over])
    assert best == batch.max_score == 8  # and chance finds it


def test_the_dilemma_pays_what_it_says() -> None:
    batch = RepeatedBatched(DilemmaConfig(rounds=4), 1, restart=False)
    plays = list(itertools.product(("I cooperate", "I defect"), repeat=2))
    paid = [batch.step(choose(batch, list(play))).rewards[0].tolist() for play in plays]
    assert paid == [[-1, -1], [-3, 0], [0, -3], [-2, -2]]
    assert batch.outcome()["welfare"][0] == -12
    assert batch.outcome()["cooperation"][0] == 0.5
    said = batch.phrasebook.render(batch.observe(1)[0][0])
    assert "I defected" in said
    assert "player A defected" in said


@pytest.mark.parametrize(
    ("config", "best"),
    [
        (DilemmaConfig(), -10),
        (DilemmaConfig(temptation=5, reward=1), 10),
        (StagHuntConfig(players=3), 120),
        (StagHuntConfig(players=4, hunters=2, stag=1.5), 60),
    ],
)
def test_the_best_of_repeated_games(config: DilemmaConfig | StagHuntConfig, best: float) -> None:
    assert repeated.optimum(config) == best
    words = ("I defect", "I cooperate")
    if isinstance(config, StagHuntConfig):
        words = ("I hunt hares", "I hunt the stag")
    totals = []
    for play in itertools.product(words, repeat=config.players):
        batch = RepeatedBatched(config, 1, restart=False)
        while len(batch.due_game):
            batch.step(choose(batch, list(play)))
        totals.append(batch.outcome()["welfare"][0])
    assert max(totals) == best


def test_a_dilemma_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="needs temptation > reward"):
        games.batched("prisoners-dilemma@reward=2", num_games=1)
    with pytest.raises(ValueError, match="hunters must be from 2 to 3"):
        games.batched("stag-hunt:3@hunters=7", num_games=1)


@pytest.mark.parametrize("players", [1, 2])
def test_a_small_field_by_brute_force(players: int) -> None:
    config = HarvestConfig(players=players, width=3, height=1, rounds=5, growth=0.25)
    beside = neighbours(config)
    assert beside == [[1], [0, 2], [1]]

    @lru_cache(None)
    def best(left: int, apples: tuple[int, ...], places: tuple[int, ...]) -> float:
        if left == 0:
            return 0.0
        found = 0.0
        own = [[(place, False), (place, True), *((to, False) for to in beside[place])]
               for place in places]  # fmt: skip
        for joint in itertools.product(*own):
            picked = {to for to, picks in joint if picks and apples[to]}
            rest = [apple and place not in picked for place, apple in enumerate(apples)]
            value = float(len(picked))
            for grown in itertools.product((0, 1), repeat=3):
                chance = 1.0
                for place in range(3):
                    bears = 0.25 * sum(rest[other] for other in beside[place])
                    if rest[place]:
                        bears = 1.0
                    chance *= bears if grown[place] else 1 - bears
                if chance:
                    value += chance * best(left - 1, grown, tuple(to for to, _ in joint))
            found = max(found, value)
        return found

    exact = best(5, (1, 1, 1), config.starts)
    assert optimum(config) == pytest.approx(exact, abs=1e-9)
    assert bound(config) >= exact


def test_apples_grow_as_often_as_they_should() -> None:
    config = HarvestConfig(players=1, width=2, height=2, rounds=1000, growth=0.1)
    batch = HarvestBatched(config, 4000, 0)
    batch.step(choose(batch, ["I pick the apple"]))
    batch.reset()
    batch.step(choose(batch, ["I pick the apple"]))
    grown = batch.records["apples"][:, 0].mean()
    assert abs(grown - 0.2) < 4 * np.sqrt(0.2 * 0.8 / 4000)
    assert (batch.records["apples"][:, 1:4] == 1).all()


def test_one_of_two_gets_the_apple() -> None:
    batch = games.batched("harvest:2@width=2@height=1@growth=0", num_games=400)
    batch.step(choose(batch, ["I go east", "I wait"]))
    step = batch.step(choose(batch, ["I pick the apple"] * 2))
    assert (step.rewards.sum(1) == 1).all()
    assert 140 < step.rewards[:, 0].sum() < 260
    assert "harvester A is beside me" in batch.phrasebook.render(batch.facts[0])
    assert "there is no apple where I am" in batch.phrasebook.render(batch.facts[0])


def test_greed_harms_everybody() -> None:
    """Whoever picks whatever is there ends far below what the field can yield."""
    config = HarvestConfig(width=3)
    batch = HarvestBatched(config, 512, 0, restart=False)
    rng, pick = np.random.default_rng(0), batch.phrasebook.id("I pick the apple")
    while len(batch.due_game):
        here = batch.choices == pick
        batch.step(np.where(here.any(1), here.argmax(1), at_random(batch, rng)))
    welfare = batch.outcome()["welfare"]
    assert welfare.mean() < 0.6 * optimum(config)
    assert optimum(config) <= bound(config)


def test_a_field_is_seen_from_where_one_stands() -> None:
    batch = HarvestBatched(HarvestConfig(players=3), 30, 0)
    rng = np.random.default_rng(3)
    for _ in range(20):
        batch.step(at_random(batch, rng))
    for seat in range(3):
        facts, counts = batch.observe(seat)
        for game in range(30):
            record = batch.records[game]
            row, column = divmod(int(record["place"][seat]), 4)
            said = batch.phrasebook.render(facts[game, : counts[game]])
            assert f"I am at row {row + 1} column {column + 1}" in said
            seen = {
                _place(sentence, row, column)
                for sentence in said
                if sentence.startswith("there is an apple")
            }
            assert seen == {divmod(p, 4) for p in range(12) if record["apples"][p]}
            for offset in (1, 2):
                (other,) = (s for s in said if s.startswith(f"harvester {'AB'[offset - 1]} "))
                place = divmod(int(record["place"][(seat + offset) % 3]), 4)
                assert _place(other, row, column) == place


def _place(sentence: str, row: int, column: int) -> tuple[int, int]:
    """The place that a sentence speaks of, as row and column."""
    words = sentence.split()
    for way, down, right in (("north", -1, 0), ("south", 1, 0), ("west", 0, -1), ("east", 0, 1)):
        if way in words:
            steps = int(words[words.index(way) - 1])
            row, column = row + steps * down, column + steps * right
    return row, column


def test_too_large_a_field_is_refused() -> None:
    with pytest.raises(ValueError, match="can be solved"):
        optimum(HarvestConfig(width=8, height=8))
    with pytest.raises(ValueError, match="at most 16"):
        bound(HarvestConfig(width=8, height=8))
