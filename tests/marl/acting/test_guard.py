"""The guard of the last life: what it drops, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import games
from agents.bots import make
from agents.bots.rules import Kind, Rule
from agents.bots.simple import player
from games.hanabi import HanabiBatched, configure
from marl.acting.guard import Guard
from marl.acting.table import play_many
from marl.crossplay.cells import fingerprint
from marl.runs.config import TrainConfig
from marl.runs.roster import export, load, starting_weights
from tests.agents.bots_table import observations, say, table

pytestmark = pytest.mark.timeout(600)  # the first of them waits for the guard to be compiled

GAMBLER = player("gambler", [Rule(Kind.PLAY_LIKELY), Rule(Kind.DISCARD_OLDEST)])


def move(batch: HanabiBatched, guard: Guard) -> str:
    choice, values, _ = guard.act(observations(batch), np.zeros((1, 0), np.float32))
    assert np.isfinite(values[0, choice[0]])
    return batch.phrasebook[int(batch.choices[0, choice[0]])]


def test_with_the_last_life_only_what_surely_fits_is_played() -> None:
    batch = table(["y2 y3 r1 w4 b4", "g4 w4 r4 y4 b4"], hand_size=5, life_tokens=2)
    assert move(batch, Guard(GAMBLER)).startswith("I play")  # with two lives left
    assert not move(batch, Guard(GAMBLER, lives=2)).startswith("I play")
    say(batch, "I play card 1", "I tell partner A which cards are red")
    wanted = GAMBLER.act(observations(batch), np.zeros((1, 0), np.float32))[0]
    assert batch.phrasebook[int(batch.choices[0, wanted[0]])] == "I play card 1"
    assert move(batch, Guard(GAMBLER)).startswith("I discard")
    say(batch, "I tell partner A which cards are red", "I tell partner A which cards are rank one")
    assert move(batch, Guard(GAMBLER)) == "I play card 2"


@pytest.mark.parametrize("name", ["bot:flawed", "hanabi-2p", "hanabi"])
def test_no_game_is_lost_by_guarded_players(name: str) -> None:
    """Beside a partner that plays nothing but what surely fits."""
    setting = games.setting("hanabi", players=3)
    seating = np.tile([0, 1, 0], (60, 1))
    iggi = make("iggi")
    plain = play_many(setting, [load(name).policy, iggi], 60, 1, seating)
    guarded = play_many(setting, [load(f"{name}+guard").policy, iggi], 60, 1, seating)
    assert plain.outcome["lost"].mean() > 0
    assert guarded.outcome["lost"].mean() == 0
    # Games in which nobody had come to the last life are the same.
    won = plain.outcome["lost"] == 0
    assert (plain.turns == guarded.turns)[won].sum() >= 0.3 * won.sum()


def test_it_does_what_it_guards_while_nothing_is_at_stake() -> None:
    batch, smart = HanabiBatched(configure(players=3), 50, seed=1), make("smart")
    guard, memory = Guard(smart), np.zeros((50, smart.memory_size), np.float32)
    ours, values, after = guard.act(observations(batch), memory)
    theirs, expected, remembered = smart.act(observations(batch), memory)
    assert np.array_equal(ours, theirs)
    assert values.tobytes() == expected.tobytes()
    assert after.tobytes() == remembered.tobytes()


def test_it_is_named_wherever_it_is_used(tmp_path: Path) -> None:
    member = load("hanabi-2p+guard")
    assert member.name == "hanabi-2p+guard"
    assert isinstance(member.policy, Guard)
    assert member.policy.lives == 1
    two = load("bot:flawed+guard2").policy
    assert isinstance(two, Guard)
    assert two.lives == 2
    assert fingerprint(member.policy) == fingerprint(load("hanabi-2p").policy) != ""
    with pytest.raises(ValueError, match="leave \\+guard out of hanabi-2p\\+guard"):
        export(member, tmp_path / "out")
    with pytest.raises(ValueError, match="a guard has no weights to start from"):
        starting_weights(TrainConfig(start="hanabi-2p+guard"))
    with pytest.raises(ValueError, match="there is no agent 'clever'"):
        load("clever+guard")


def test_it_is_for_hanabi() -> None:
    with pytest.raises(ValueError, match="a guard begins at 1 life or more, got 0"):
        Guard(GAMBLER, 0)
    seen = observations(HanabiBatched(configure(), 2))
    seen.facts[1, 0] = seen.choices[0, 0]
    with pytest.raises(ValueError, match="players of Hanabi, and row 1 holds other facts"):
        Guard(GAMBLER).act(seen, np.zeros((2, 0), np.float32))
