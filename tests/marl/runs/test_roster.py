"""Everybody who can be named: rule-based players too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from agents.bots import NAMES
from games import Setting
from games.hanabi.batched import HanabiBatched
from games.settings import parse
from games.text import Phrasebook
from marl.acting.evaluate import evaluate
from marl.runs.roster import export, load
from marl.runs.train import train
from tests.marl.small_runs import CONFIG


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


@pytest.mark.parametrize("encoder", ["phrases", "vector"])
def test_weights_are_not_loaded_among_words_in_another_order(
    encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would be taken for those of other words, and play badly without a word about it."""
    config = replace(CONFIG, agent=replace(CONFIG.agent, encoder=encoder))
    folders = [str(tmp_path / "run"), str(tmp_path / "exported")]
    train(config, tmp_path / "run", updates=1)
    export(load(folders[0]), tmp_path / "exported")
    for folder in folders:
        assert load(folder).updates == 1
    sentences = list(Setting("hanabi", 2).batched(1).phrasebook)
    turned = Phrasebook(reversed(sentences))
    monkeypatch.setattr(HanabiBatched, "phrasebook", turned)
    for folder in folders:
        with pytest.raises(ValueError, match=f"{folder} cannot be loaded: .* in another order"):
            load(folder)


@pytest.mark.parametrize("numerals", ["value", "apart"])
def test_who_reads_plays_settings_that_it_never_met(
    numerals: Literal["value", "apart"], tmp_path: Path
) -> None:
    """More factories, other prices: sentences of known words, and numbers that are read."""
    config = replace(
        CONFIG,
        games=("supply-chain:3@manager=incentives@periods=3",),
        actor=replace(CONFIG.actor, other_play=False),
        agent=replace(CONFIG.agent, own_hand=False, numerals=numerals, roles=("^I speak to",)),
        learner=replace(CONFIG.learner, burn_in=0),
    )
    train(config, tmp_path / "run", updates=1)
    member = load(str(tmp_path / "run"))
    before = len(member.policy.phrasebook)
    dearer = parse("supply-chain:4@manager=incentives@periods=3@large_price=2.35")[0]
    if numerals == "apart":
        with pytest.raises(ValueError, match=r"has no word for .* 2\.35"):
            member.check(dearer)
        return
    member.check(dearer)
    assert evaluate(member.policy, dearer, 8, 1).mean("raw") < 30
    assert len(member.policy.phrasebook) > before
    assert len(config.settings()[0].batched(1).phrasebook) == before, "the game's own is as it was"
    with pytest.raises(ValueError, match="has no word for"):
        member.check(parse("hanabi:2")[0])
    export(member, tmp_path / "exported")
    again = load(str(tmp_path / "exported"))
    assert evaluate(again.policy, dearer, 8, 1).mean("raw") == pytest.approx(
        evaluate(member.policy, dearer, 8, 1).mean("raw")
    )
