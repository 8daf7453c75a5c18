"""The player of the particle games by rules: as good as its plan, and from facts alone."""

from __future__ import annotations

import numpy as np
import pytest

from agents.bots import NAMES, Planner, make
from agents.core import Observations
from games.core import BatchedGame
from games.mpe.reference import by_text
from games.settings import parse
from marl.acting.evaluate import evaluate
from marl.runs.roster import known_names, load


def observed(game: BatchedGame) -> Observations:
    return Observations(game.facts, game.fact_counts, game.choices, game.choice_counts)


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("simple-reference", -9.0),
        ("simple-reference@chained=true", -9.0),
        ("simple-speaker-listener", -9.5),
        ("simple-spread:3", -9.0),
        ("simple-spread:2", -6.0),
    ],
)
def test_it_plays_well(name: str, least: float) -> None:
    """Random play comes to -27 or less."""
    assert evaluate(make("planner"), parse(name)[0], 64, 1).mean() > least


def test_it_is_the_player_by_text_row_by_row() -> None:
    """Whatever rows stand beside a row, in whatever order."""
    game = parse("simple-reference")[0].batched(32)
    bot, rng = make("planner"), np.random.default_rng(0)
    agreed = []
    for _ in range(10):
        seen = observed(game)
        choices, values, _ = bot.act(seen, np.zeros((64, 0), np.float32))
        order = rng.permutation(64)
        again, _, _ = bot.act(seen[order], np.zeros((64, 0), np.float32))
        np.testing.assert_array_equal(again, choices[order])
        np.testing.assert_array_equal(values.argmax(1), choices)
        agreed.append((choices == by_text(game)).mean())  # type: ignore[arg-type]
        game.step(choices)
    assert np.mean(agreed) > 0.7  # it looks two steps ahead instead of three


def test_it_is_in_the_roster_and_plays_nothing_else() -> None:
    assert "bot:planner" in known_names()
    assert "planner" not in NAMES
    member = load("bot:planner")
    assert isinstance(member.policy, Planner)
    member.check(parse("simple-spread:3")[0])
    with pytest.raises(ValueError, match="cannot play hanabi"):
        member.check(parse("hanabi:2")[0])
