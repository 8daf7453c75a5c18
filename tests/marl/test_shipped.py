"""The agents that come with the package play as well as the documents say."""

from __future__ import annotations

import pytest

import games
from marl.acting.evaluate import evaluate
from marl.runs import roster

# What they reach over 1000 games, less four standard errors of the 200 that are played here.
LEAST = {
    "hanabi": {2: 14.5, 3: 13.5, 4: 14.0, 5: 13.0},
    "hanabi-2p": {2: 19.0},
    "hanabi-2p-taught": {2: 19.0},
}


def test_all_of_them_are_known() -> None:
    assert roster.shipped() == sorted(LEAST)


@pytest.mark.parametrize("name", LEAST)
def test_they_play_as_well_as_is_said(name: str) -> None:
    member = roster.load(name)
    assert member.config.settings() == tuple(LEAST[name])
    for players, least in LEAST[name].items():
        result = evaluate(
            member.policy, lambda n, s, p=players: games.batched("hanabi", n, s, players=p), 200, 1
        )
        assert result.mean("zero") > least
