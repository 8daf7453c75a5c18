"""The split: no partner is in two of its parts, under whatever name."""

from __future__ import annotations

from itertools import combinations

import pytest

import games
from agents.bots.lists import rules_of
from agents.bots.rules import Rule
from agents.bots.simple import RULES
from marl.crossplay.cells import fingerprint
from marl.runs import roster
from marl.runs.config import TrainConfig
from marl.runs.split import LISTS, PARTS, Part


def rules(part: Part) -> set[tuple[Rule, ...]]:
    """What those of a part that are lists of rules play by."""
    bots = [name.removeprefix("bot:") for name in part if name.startswith("bot:")]
    named = {RULES[bot] for bot in bots if bot in RULES}
    drawn = {rules_of(int(bot.removeprefix("list-"))) for bot in bots if bot.startswith("list-")}
    return named | drawn


@pytest.mark.parametrize(("one", "other"), list(combinations(PARTS, 2)))
def test_parts_share_no_partner(one: str, other: str) -> None:
    ours, theirs = PARTS[one], PARTS[other]
    assert not set(ours) & set(theirs)
    # Two seeds may draw one list.
    assert not rules(ours) & rules(theirs)
    weights = [
        {fingerprint(roster.load(name).policy) for name in part if not name.startswith("bot:")}
        for part in (ours, theirs)
    ]
    assert not weights[0] & weights[1]


@pytest.mark.parametrize("part", PARTS)
def test_everybody_can_be_met(part: str) -> None:
    names = list(PARTS[part])
    assert len(names) == len(set(names))
    assert len(PARTS[part].lists) == LISTS
    for name in names:
        assert roster.load(name).restriction(games.setting("hanabi", players=4)) is None


def test_who_was_met_is_known() -> None:
    assert TrainConfig().met() == frozenset()
    assert TrainConfig(imitate="bot:smart", start="runs/mine/").met() == {"bot:smart", "mine"}
    assert roster.load("hanabi-2p-taught").config.met() == {"bot:smart"}
