"""Evaluation counts every game once, whole, and under both scoring rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import games
from agents.core import Observations
from games.core import BatchedGame, Step
from marl.acting.evaluate import Evaluation, evaluate, save_histogram, save_json


class Countdown:
    """A fake game for three seats, whose every outcome follows from its seed.

    Game ``s`` takes ``3 + s % 5`` moves, ends with ``s % 7`` points, is lost where s is divisible
    by 3 and cut off where s is 1 modulo 3. Seats move in turn, seat ``s % 3`` first. The only fact
    is the seed, and the choices are as many as the moves left.
    """

    num_players, max_facts, max_choices = 3, 1, 8

    def __init__(self, num_games: int, seed: int) -> None:
        self.num_games, self.episode = num_games, 0
        self.seeds = seed + np.arange(num_games)
        self.left = 3 + self.seeds % 5
        self.seat = (self.seeds % 3).astype(np.int8)
        self.choices = np.tile(np.arange(8, dtype=np.int16), (num_games, 1))
        self.fact_counts = np.ones(num_games, np.int16)

    @property
    def facts(self) -> NDArray[np.int16]:
        return self.seeds.astype(np.int16)[:, None]

    @property
    def choice_counts(self) -> NDArray[np.int16]:
        return self.left.astype(np.int16)

    def step(self, move_index: NDArray[Any]) -> Step:
        assert np.all((move_index >= 0) & (move_index < self.left)), "an illegal move"
        self.left = self.left - 1
        over, seeds = self.left == 0, self.seeds
        scores = (seeds % 7).astype(np.float32)
        self.seat = ((self.seat + 1) % 3).astype(np.int8)
        self.seeds = np.where(over, seeds + self.num_games, seeds)
        self.left = np.where(over, 3 + self.seeds % 5, self.left)
        self.seat = np.where(over, self.seeds % 3, self.seat).astype(np.int8)
        cut = seeds % 3 == 1
        return Step(
            np.zeros(len(over), np.float32), over & ~cut, over & cut, scores, seeds % 3 == 0
        )


class Counter:
    """Plays the last choice; its memory counts the turns of each seat in each game."""

    memory_size, version = 2, 0

    def __init__(self) -> None:
        self.seen: list[tuple[int, int, int]] = []

    def act(
        self, observations: Observations, memory: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        seeds = observations.facts[:, 0].tolist()
        moved = (3 + observations.facts[:, 0] % 5) - observations.choice_counts
        self.seen += zip(seeds, moved.tolist(), memory[:, 1].astype(int).tolist(), strict=True)
        last = observations.choice_counts.astype(np.int64) - 1
        return last, np.zeros((len(seeds), 8), np.float32), memory + 1


class Hashing:
    """Plays Hanabi by a fixed function of what it observes, and of its memory."""

    memory_size, version = 1, 0

    def act(
        self, observations: Observations, memory: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        known = np.arange(observations.facts.shape[1]) < observations.fact_counts[:, None]
        mixed = (observations.facts.astype(np.int64) * 2654435761 % 1009 * known).sum(1)
        mixed += memory[:, 0].astype(np.int64)
        return mixed % observations.choice_counts, np.zeros((len(known), 1)), memory * 3 % 97 + 1


def countdown(n: int, seed: int) -> BatchedGame:
    return Countdown(n, seed)  # type: ignore[return-value]


def expected(games: int, seed: int) -> tuple[NDArray[Any], ...]:
    seeds = seed + np.arange(games)
    return seeds % 7, seeds % 3 == 0, seeds % 3 == 1, 3 + seeds % 5


@pytest.mark.parametrize("at_once", [1, 7, 40, 1024])
def test_every_game_counts_once(at_once: int) -> None:
    result = evaluate(Counter(), countdown, games=40, seed=11, at_once=at_once)
    points, lost, truncated, turns = expected(40, 11)
    np.testing.assert_array_equal(result.points, points)
    np.testing.assert_array_equal(result.lost, lost)
    np.testing.assert_array_equal(result.truncated, truncated)
    np.testing.assert_array_equal(result.turns, turns)
    assert (len(result), result.players, result.seed) == (40, 3, 11)


def test_memory_belongs_to_a_seat_and_begins_at_zero() -> None:
    policy = Counter()
    evaluate(policy, countdown, games=30, seed=0)
    # Nobody acts in the games that begin after the counted ones.
    assert {seed for seed, _, _ in policy.seen} == set(range(30))
    # Three seats move in turn: a seat's own turns before its m-th move are m // 3.
    assert all(memory == moved // 3 for _, moved, memory in policy.seen)
    assert len(policy.seen) == sum(3 + seed % 5 for seed in range(30))


@pytest.mark.parametrize("players", [2, 5])
def test_games_do_not_depend_on_the_batch(players: int) -> None:
    def make(n: int, seed: int) -> BatchedGame:
        return games.batched("hanabi", n, seed, players=players)

    together = evaluate(Hashing(), make, games=60, seed=5)
    apart = evaluate(Hashing(), make, games=60, seed=5, at_once=1)
    again = evaluate(Hashing(), make, games=60, seed=5)
    later = evaluate(Hashing(), make, games=20, seed=45)
    for name in ("points", "lost", "turns"):
        np.testing.assert_array_equal(getattr(together, name), getattr(apart, name))
        np.testing.assert_array_equal(getattr(together, name), getattr(again, name))
        np.testing.assert_array_equal(getattr(together, name)[40:], getattr(later, name))
    assert len(np.unique(together.turns)) > 3


def made_up() -> Evaluation:
    return Evaluation(
        players=2,
        seed=1,
        points=np.array([25, 20, 10, 3], np.float32),
        lost=np.array([False, False, True, False]),
        truncated=np.array([False, False, False, True]),
        turns=np.array([60, 62, 40, 10], np.int32),
        seconds=2.0,
    )


def test_both_scoring_rules() -> None:
    result = made_up()
    assert result.scores("zero").tolist() == [25, 20, 0, 3]
    assert result.scores("kept").tolist() == [25, 20, 10, 3]
    assert result.mean("zero") == 12
    assert result.mean("kept") == 14.5
    # Sample standard deviations of the four scores, over the square root of four.
    assert result.standard_error("zero") == pytest.approx(np.sqrt((169 + 64 + 144 + 81) / 3) / 2)
    assert result.standard_error("kept") == pytest.approx(np.sqrt(293 / 3) / 2)
    assert result.lost_share == 0.25
    assert result.games_per_second == 2
    with pytest.raises(ValueError, match="no scoring rule 'best'"):
        result.mean("best")


def test_the_report(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "er" / "out.json"
    save_json(file, [made_up()], {"agent": "somebody"})
    report = json.loads(file.read_text())
    assert report["agent"] == "somebody"
    (setting,) = report["settings"]
    assert setting["zero"]["distribution"] == {"0": 1, "3": 1, "20": 1, "25": 1}
    assert setting["kept"]["distribution"] == {"3": 1, "10": 1, "20": 1, "25": 1}
    assert setting["zero"]["mean"] == 12
    assert setting["kept"]["median"] == 15
    assert (setting["players"], setting["games"], setting["turns_mean"]) == (2, 4, 43)
    assert (setting["lost_share"], setting["truncated_share"]) == (0.25, 0.25)


def test_a_single_game_has_no_standard_error(tmp_path: Path) -> None:
    result = evaluate(Counter(), countdown, games=1, seed=2)
    assert result.summary()["zero"]["standard_error"] is None
    save_histogram(tmp_path / "one.png", [result], "one game")
    json.dumps(result.summary(), allow_nan=False)


def test_the_picture_shows_the_distribution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib import image, pyplot

    kept = []
    monkeypatch.setattr(pyplot, "close", kept.append)
    file = tmp_path / "new" / "scores.png"
    save_histogram(file, [made_up(), made_up()], "somebody on something", max_score=25)
    height, width, _ = image.imread(file).shape
    assert height > 500
    assert width > 1000
    (figure,) = kept
    assert len(figure.axes) == 2
    for panel in figure.axes:
        ended, lost = (
            [bar.get_height() for bar in container.patches] for container in panel.containers
        )
        assert len(ended) == 26
        assert [score for score, n in enumerate(ended) if n] == [3, 20, 25]
        assert [score for score, n in enumerate(lost) if n] == [10]
        assert sorted(line.get_xdata()[0] for line in panel.lines) == [12, 14.5]
        labels = [entry.get_text() for entry in panel.get_legend().get_texts()]
        assert any("mean 12.00 ± 6.18, a lost game counts 0" in label for label in labels)
        assert "4 games" in panel.get_title("left")


def test_no_picture_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no evaluation to draw"):
        save_histogram(tmp_path / "none.png", [], "nobody")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"games": 0, "seed": 1}, "games must be at least 1, got 0"),
        ({"games": 5, "seed": -1}, "cannot be negative, got -1"),
        ({"games": 5, "seed": 1, "at_once": 0}, "at_once must be at least 1, got 0"),
    ],
)
def test_bad_arguments(arguments: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        evaluate(Counter(), countdown, **arguments)
