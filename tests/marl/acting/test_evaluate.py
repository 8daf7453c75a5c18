"""Evaluation counts every game once, whole, and under every name of its scoring."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agents.core import Observations
from games import PAD, Phrasebook, Setting, Step
from games.settings import GAMES, GameInfo
from marl.acting.evaluate import Evaluation, evaluate, save_histogram, save_json
from marl.acting.table import Played


class Countdown:
    """A fake game for three seats, whose every outcome follows from its seed.

    Game ``s`` takes ``3 + s % 5`` moves, comes to ``s % 7`` points, or 0 where ``s`` is divisible
    by 3, and is cut off where s is 1 modulo 3. Seats move in turn, seat ``s % 3`` first, and each
    earns its number at every move of anybody. The only fact is the seed, and the choices are as
    many as the moves left.
    """

    phrasebook = Phrasebook(f"number {number}" for number in range(300))
    num_players, max_facts, max_choices, max_score = 3, 1, 8, 6.0
    scoring = ("score", "points")

    def __init__(self, num_games: int, seed: int) -> None:
        self.num_games, self.episode = num_games, 0
        self.seeds = seed + np.arange(num_games)
        self.left = 3 + self.seeds % 5
        self.due_game = np.arange(num_games, dtype=np.int32)
        self.due_seat = (self.seeds % 3).astype(np.int8)
        self.fact_counts = np.ones(num_games, np.int16)

    @property
    def facts(self) -> NDArray[np.int16]:
        return self.seeds.astype(np.int16)[:, None]

    @property
    def choices(self) -> NDArray[np.int16]:
        numbers = np.arange(8, dtype=np.int16)
        return np.where(numbers < self.left[:, None], numbers, np.int16(PAD))

    @property
    def choice_counts(self) -> NDArray[np.int16]:
        return self.left.astype(np.int16)

    def step(self, move_index: NDArray[Any]) -> Step:
        assert np.all((move_index >= 0) & (move_index < self.left)), "an illegal move"
        self.left = self.left - 1
        over, seeds = self.left == 0, self.seeds
        points = (seeds % 7).astype(np.float32)
        cut, lost = seeds % 3 == 1, seeds % 3 == 0
        self.due_seat = ((self.due_seat + 1) % 3).astype(np.int8)
        self.seeds = np.where(over, seeds + self.num_games, seeds)
        self.left = np.where(over, 3 + self.seeds % 5, self.left)
        self.due_seat = np.where(over, self.seeds % 3, self.due_seat).astype(np.int8)
        return Step(
            rewards=np.tile(np.arange(3, dtype=np.float32), (self.num_games, 1)),
            terminated=np.tile((over & ~cut)[:, None], 3),
            truncated=np.tile((over & cut)[:, None], 3),
            over=over,
            elapsed=np.ones(self.num_games, np.int32),
            outcome={"score": np.where(lost, 0, points).astype(np.float32), "points": points},
        )


def make_batched(
    name: str, players: int, num_games: int, seed: int, restart: bool, options: object
) -> Countdown:
    """This module is the room in which the fake game is found."""
    return Countdown(num_games, seed)


@pytest.fixture
def countdown(monkeypatch: pytest.MonkeyPatch) -> Setting:
    monkeypatch.setitem(GAMES, "countdown", GameInfo(__name__, (3,), 3))
    return Setting("countdown", 3)


class Counter:
    """Plays the last choice; its memory counts the turns of each seat in each game."""

    memory_size, version = 2, 0
    phrasebook: Phrasebook | None = None

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
    phrasebook: Phrasebook | None = None

    def act(
        self, observations: Observations, memory: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        known = np.arange(observations.facts.shape[1]) < observations.fact_counts[:, None]
        mixed = (observations.facts.astype(np.int64) * 2654435761 % 1009 * known).sum(1)
        mixed += memory[:, 0].astype(np.int64)
        return mixed % observations.choice_counts, np.zeros((len(known), 1)), memory * 3 % 97 + 1


@pytest.mark.parametrize("at_once", [1, 7, 40, 1024])
def test_every_game_counts_once(countdown: Setting, at_once: int) -> None:
    told: list[int] = []
    result = evaluate(Counter(), countdown, games=40, seed=11, at_once=at_once, on_end=told.append)
    seeds = 11 + np.arange(40)
    np.testing.assert_array_equal(result.outcome("points"), seeds % 7)
    np.testing.assert_array_equal(result.outcome("score"), np.where(seeds % 3 == 0, 0, seeds % 7))
    np.testing.assert_array_equal(result.outcome(), result.outcome("score"))
    np.testing.assert_array_equal(result.played.truncated, seeds % 3 == 1)
    np.testing.assert_array_equal(result.played.turns, 3 + seeds % 5)
    np.testing.assert_array_equal(
        result.played.returns, (3 + seeds % 5)[:, None] * np.arange(3, dtype=np.float32)
    )
    assert (len(result), result.setting, result.seed) == (40, countdown, 11)
    assert (result.scoring, result.max_score) == (("score", "points"), 6.0)
    assert sum(told) == 40
    assert min(told) > 0


def test_memory_belongs_to_a_seat_and_begins_at_zero(countdown: Setting) -> None:
    policy = Counter()
    evaluate(policy, countdown, games=30, seed=0)
    # Nobody acts in the games that begin after the counted ones.
    assert {seed for seed, _, _ in policy.seen} == set(range(30))
    # Three seats move in turn: a seat's own turns before its m-th move are m // 3.
    assert all(memory == moved // 3 for _, moved, memory in policy.seen)
    assert len(policy.seen) == sum(3 + seed % 5 for seed in range(30))


@pytest.mark.parametrize("players", [2, 5])
def test_games_do_not_depend_on_the_batch(players: int) -> None:
    def values(result: Evaluation) -> dict[str, NDArray[Any]]:
        played = result.played
        return {**played.outcome, "returns": played.returns, "turns": played.turns}

    setting = Setting("hanabi", players)
    together = values(evaluate(Hashing(), setting, games=60, seed=5))
    apart = values(evaluate(Hashing(), setting, games=60, seed=5, at_once=1))
    again = values(evaluate(Hashing(), setting, games=60, seed=5))
    later = values(evaluate(Hashing(), setting, games=20, seed=45))
    assert list(together) == ["score", "points", "lost", "returns", "turns"]
    for name, found in together.items():
        np.testing.assert_array_equal(found, apart[name])
        np.testing.assert_array_equal(found, again[name])
        np.testing.assert_array_equal(found[40:], later[name])
    assert len(np.unique(together["turns"])) > 3


def made_up() -> Evaluation:
    points = np.array([25, 20, 10, 3], np.float32)
    lost = np.array([0, 0, 1, 0], np.float32)
    return Evaluation(
        setting=Setting("hanabi", 2),
        seed=1,
        scoring=("score", "points", "lost"),
        max_score=25,
        played=Played(
            {"score": points * (1 - lost), "points": points, "lost": lost},
            returns=np.stack([points, 2 * points], 1),
            truncated=np.array([False, False, False, True]),
            turns=np.array([60, 62, 40, 10], np.int32),
        ),
        seconds=2.0,
    )


def test_every_outcome_has_a_mean() -> None:
    result = made_up()
    assert result.outcome("score").tolist() == [25, 20, 0, 3]
    assert result.outcome("points").tolist() == [25, 20, 10, 3]
    assert result.mean("score") == result.mean() == 12
    assert result.mean("points") == 14.5
    # Sample standard deviations of the four scores, over the square root of four.
    assert result.standard_error("score") == pytest.approx(np.sqrt((169 + 64 + 144 + 81) / 3) / 2)
    assert result.standard_error() == result.standard_error("score")
    assert result.standard_error("points") == pytest.approx(np.sqrt(293 / 3) / 2)
    assert result.mean("lost") == 0.25
    assert result.games_per_second == 2
    with pytest.raises(ValueError, match="has no outcome 'best': choose from score, points, lost"):
        result.mean("best")


def test_the_report(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "er" / "out.json"
    save_json(file, [made_up()], {"agent": "somebody"})
    report = json.loads(file.read_text())
    assert report["agent"] == "somebody"
    (setting,) = report["settings"]
    score, points, lost = (setting["outcomes"][name] for name in ("score", "points", "lost"))
    assert score["distribution"] == {"0": 1, "3": 1, "20": 1, "25": 1}
    assert points["distribution"] == {"3": 1, "10": 1, "20": 1, "25": 1}
    assert score["mean"] == 12
    assert points["median"] == 15
    assert (setting["setting"], setting["games"], setting["turns_mean"]) == ("hanabi:2", 4, 43)
    assert (lost["mean"], setting["truncated_share"]) == (0.25, 0.25)
    assert (setting["headline"], setting["returns_mean"]) == ("score", [14.5, 29.0])


def test_a_continuous_score_has_no_list_of_scores() -> None:
    result = made_up()
    outcome = {"score": np.linspace(0, 1, 300, dtype=np.float32)}
    fine = replace(result, scoring=("score",), played=replace(result.played, outcome=outcome))
    assert fine.summary()["outcomes"]["score"]["distribution"] is None


def test_a_single_game_has_no_standard_error(countdown: Setting, tmp_path: Path) -> None:
    result = evaluate(Counter(), countdown, games=1, seed=2)
    assert result.summary()["outcomes"]["score"]["standard_error"] is None
    save_histogram(tmp_path / "one.png", [result], "one game")
    json.dumps(result.summary(), allow_nan=False)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that have been drawn."""
    from matplotlib import pyplot

    kept: list[Any] = []
    monkeypatch.setattr(pyplot, "close", kept.append)
    return kept


def test_the_picture_shows_the_distribution(tmp_path: Path, drawn: list[Any]) -> None:
    from matplotlib import image

    file = tmp_path / "new" / "scores.png"
    save_histogram(file, [made_up(), made_up()], "somebody on something")
    height, width, _ = image.imread(file).shape
    assert height > 500
    assert width > 1000
    (figure,) = drawn
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


def test_whole_scores_have_whole_ticks_up_to_the_best(tmp_path: Path, drawn: list[Any]) -> None:
    """However few the scores are, and however far from the best."""
    result = made_up()

    def scored(most: float | None, *scores: float) -> Evaluation:
        outcome = {"score": np.array(scores, np.float32)}
        played = replace(result.played, outcome=outcome)
        return replace(result, scoring=("score",), max_score=most, played=played)

    few = scored(25, 0, 1, 1, 2), scored(5, 3, 3, 3, 3), scored(100, 0, 0, 0, 0)
    others = scored(None, -2, 0, 0, 3), scored(None, 0.5, 0.25, 0, 1), scored(25.5, 1, 2, 2, 3)
    save_histogram(tmp_path / "scores.png", [*few, *others], "somebody")
    panels = drawn[0].axes
    for panel, most in zip(panels, (25, 5, 100, 3, None, 25), strict=True):
        low, high = panel.get_xlim()
        shown = [tick for tick in panel.get_xticks() if low <= tick <= high]
        assert len(shown) >= 2
        assert (most is None) == any(tick != round(tick) for tick in shown)
        if most is not None:
            assert max(shown) == most
            assert sum(bar.get_height() for bar in panel.patches) == 4
    assert panels[4].get_xlim() == (0, 1)
    assert panels[5].get_xlim()[1] >= 25.5
    assert len(panels[1].patches) == 6
    assert len(panels[3].patches) == 6
    (mean,) = [line.get_xdata()[0] for line in panels[0].lines]
    assert mean == 1


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
def test_bad_arguments(countdown: Setting, arguments: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        evaluate(Counter(), countdown, **arguments)
