"""Players by rules that read sentences."""

from __future__ import annotations

import numpy as np
import pytest

from agents.bots import blocks, sentences
from agents.core import Observations
from games.settings import parse
from games.tracking import TrackingConfig, optimum
from marl.acting.table import play_many
from marl.runs import roster


def score(name: str, options: str = "", games: int = 2) -> float:
    """The mean headline of a player in its game."""
    member = roster.load(f"bot:{name}")
    setting = parse(member.config.games[0] + options)[0]
    played = play_many(setting, [member.policy], games, 3)
    return float(next(iter(played.outcome.values())).mean())


def test_each_plays_its_game() -> None:
    for name in sentences.GAMES:
        member = roster.load(f"bot:{name}")
        member.check(member.config.settings()[0])
        assert f"bot:{name}" in roster.known_names()
    with pytest.raises(ValueError, match="bot:sorter cannot play tracking"):
        roster.load("bot:sorter").check(parse("tracking")[0])


def test_who_knows_its_presses_sorts_everything_in_spite_of_delay() -> None:
    assert score("sorter", "@parcels=4@pace=4@every=2") == 8
    assert score("sorter", "@parcels=4@pace=4@every=2@delay=8") == 8
    assert score("sorter", "@parcels=4@pace=4@every=2@delay=8@pending=false") < 8


def test_who_knows_its_presses_fills_rows_in_spite_of_delay() -> None:
    here = "@level=8@pieces=30"
    assert score("stacker", here) >= 8
    assert score("stacker", f"{here}@delay=8") >= 8
    assert score("stacker", f"{here}@delay=8@pending=false") <= 2


def test_a_piece_is_laid_where_it_fits() -> None:
    flat = [3] * 10
    assert blocks.best(0, (0, *flat[1:])) == (1, 0)  # a bar upright in a hole 3 deep
    turn, left = blocks.best(1, (*flat[:8], 1, 1))
    assert (turn, left) == (0, 8)  # a square between two steps
    pressed = ["a square falls", "the piece reaches from column 5 on"]
    pressed += [f"column {x + 1} is {h} high" for x, h in enumerate([*flat[:8], 1, 1])]
    assert blocks.stack(pressed, []) == "I press right"
    late = [f"I press right {n} turns from now" for n in (2, 3, 4, 5)]
    assert blocks.stack(pressed + late, []) == "I press up to drop it"
    assert blocks.stack([*pressed, "I press up to drop it 1 turn from now"], []) == (
        "I press nothing"
    )


@pytest.mark.parametrize("way", ["", "@way=false"])
def test_the_tracker_is_the_best_player_where_the_target_seldom_turns(way: str) -> None:
    config = TrackingConfig(noise=0.02, delay=8, frames=600)
    won = score("tracker", f"@noise=0.02@delay=8{way}", games=20) / 600
    assert won == pytest.approx(optimum(config, 8), abs=0.04)


def test_the_tracker_points_ahead_and_remembers() -> None:
    bot = roster.load("bot:tracker").policy
    book = [*bot.phrasebook]
    choices = np.array([[book.index(f"I point at cell {cell}") for cell in range(1, 13)]], np.int16)

    def ids(*facts: str) -> np.ndarray:
        return np.array([[book.index(fact) for fact in facts]], np.int16)

    def asked(facts: np.ndarray, memory: np.ndarray) -> tuple[int, np.ndarray]:
        counts = np.array([facts.shape[1]], np.int16)
        found, _, after = bot.act(Observations(facts, counts, choices, counts * 0 + 12), memory)
        return int(found[0]) + 1, after

    nothing = np.zeros((1, 2), np.float32)
    ahead = "my choice counts in 4 frames"
    told = ids("the target is at cell 2", "the target runs left", ahead)
    assert asked(told, nothing)[0] == 10
    first, then = ids("the target is at cell 12", ahead), ids("the target is at cell 1", ahead)
    assert asked(first, nothing)[0] == 12
    memory = asked(first, nothing)[1]
    assert asked(then, memory)[0] == 5  # it runs right, over the seam
    past = np.stack([first, first], 1)
    np.testing.assert_array_equal(
        bot.remember(past, np.array([[-1, 2]], np.int16), nothing),  # type: ignore[attr-defined]
        memory,
    )


def test_ids_that_are_no_sentences_are_refused() -> None:
    policy = roster.load("bot:sorter").policy
    odd = Observations(
        np.array([[30000]], np.int16),
        np.ones(1, np.int16),
        np.array([[14]], np.int16),
        np.ones(1, np.int16),
    )
    with pytest.raises(ValueError, match="bot:sorter was shown an id"):
        policy.act(odd, np.zeros((1, 0), np.float32))
