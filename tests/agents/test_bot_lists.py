"""Random lists of rules: the same for a seed everywhere, and fit to be played with."""

from __future__ import annotations

import time

import numpy as np
import pytest

import games
from agents.bots import make
from agents.bots.lists import rules_of
from agents.bots.rules import Kind, Rule
from marl.acting.evaluate import evaluate
from marl.acting.table import play_many
from marl.runs import roster

pytestmark = pytest.mark.timeout(600)  # the first of them waits for its player to be compiled


def test_a_seed_is_always_the_same_list() -> None:
    """Pinned: a run, a split and a table name lists by their seeds."""
    assert rules_of(7) == (
        Rule(Kind.PLAY_LIKELY, lives_above=1, deck_empty=True),
        Rule(Kind.PLAY_SAFE),
        Rule(Kind.PLAY_LIKELY, chance=0.45, lives_above=1),
        Rule(Kind.TELL_PLAYABLE),
        Rule(Kind.TELL_USEFUL),
        Rule(Kind.DISCARD_USELESS, hints_below=6),
        Rule(Kind.TELL_RANDOM),
        Rule(Kind.DISCARD_OLDEST),
    )
    assert len({rules_of(seed) for seed in range(1000)}) > 975


def test_every_list_plays_safely_and_ends_with_a_move() -> None:
    lengths = set()
    for seed in range(500):
        rules = rules_of(seed)
        lengths.add(len(rules))
        kinds = [rule.kind for rule in rules]
        assert Kind.PLAY_SAFE in kinds
        assert Kind.TELL_RANDOM in kinds[-2:]
        assert all(r.lives_above for r in rules if r.kind == Kind.PLAY_LIKELY)
    assert (min(lengths), max(lengths)) == (4, 10)


@pytest.mark.parametrize("players", [2, 3, 5])
def test_nobody_is_lost_by_a_list(players: int) -> None:
    """None gambles with its last life; and they differ in how good they are."""
    setting = games.setting("hanabi", players=players)
    scores = []
    for seed in range(12):
        result = evaluate(make(f"list-{seed}"), setting, games=60, seed=3)
        assert result.mean("lost") == 0
        scores.append(result.mean())
    assert max(scores) > min(scores) + 3


def test_no_list_waits_for_a_compiler() -> None:
    """They are data of one kernel: a hundred of them play at once, in a second or two."""
    setting = games.setting("hanabi", players=2)
    play_many(setting, [make("list-0")], 4, 0)
    start = time.process_time()
    bots = [make(f"list-{seed}") for seed in range(100)]
    seating = np.repeat(np.arange(100)[:, None], 2, 1)
    together = play_many(setting, bots, 100, 1, seating)
    assert time.process_time() - start < 10
    alone = play_many(setting, [bots[7]], 1, 8)
    assert together.outcome["score"][7] == alone.outcome["score"][0]


def test_they_are_in_the_roster() -> None:
    member = roster.load("bot:list-5")
    assert member.name == "bot:list-5"
    assert member.restriction(games.setting("hanabi", players=4)) is None


@pytest.mark.parametrize("name", ["list-", "list-x", "list--1", "list-07", "list-1.5", "list-²"])
def test_what_is_no_seed_is_said(name: str) -> None:
    with pytest.raises(ValueError, match="named by its seed, a whole number, such as list-7"):
        make(name)
