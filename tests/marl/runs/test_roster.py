"""Everybody who can be named: rule-based players too."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.bots import NAMES
from games import Setting
from marl.runs.roster import export, load


@pytest.mark.parametrize("name", NAMES)
def test_rule_based_players_are_members(name: str) -> None:
    member = load(f"bot:{name}")
    assert (member.name, member.folder, member.updates) == (f"bot:{name}", None, 0)
    assert member.config.games == ("hanabi:2", "hanabi:3", "hanabi:4", "hanabi:5")
    assert member.policy.version == 0
    # Hanabi is what it reads, also where others speak of more.
    assert member.policy.phrasebook is Setting("hanabi", 2).batched(1).phrasebook


def test_unknown_names_are_refused_with_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no bot 'clever': choose from flawed"):
        load("bot:clever")
    with pytest.raises(ValueError, match=r"no agent 'clever'.*a rule-based player \(bot:"):
        load("clever")


def test_a_rule_based_player_has_nothing_to_export(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="bot:iggi plays by rules and has no weights to export"):
        export(load("bot:iggi"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
