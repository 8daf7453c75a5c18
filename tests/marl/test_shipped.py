"""The agents that come with the package play as well as the documents say."""

from __future__ import annotations

import numpy as np
import pytest

import games
from marl.acting.evaluate import evaluate
from marl.acting.table import play_many
from marl.remote.realtime import play_in_virtual_time
from marl.runs import roster
from transport.schemes import find_scheme
from transport.simulate import Latency

# What they reach over 1000 games, less four standard errors of the 200 that are played here.
# What was learned without the emulator: of computed games 24.00.
LEAST = {
    "hanabi": {"hanabi:2": 20.4, "hanabi:3": 19.9, "hanabi:4": 19.6, "hanabi:5": 18.6},
    "hanabi-2p": {"hanabi:2": 19.0},
    "hanabi-2p-hour": {"hanabi:2": 20.9},
    "hanabi-2p-adhoc": {"hanabi:2": 17.0},
    "hanabi-2p-taught": {"hanabi:2": 19.0},
    "hanabi-4p-adhoc": {"hanabi:4": 17.8},
    "parcels": {"parcels@emulated=false@sparks=1": 23.8, "parcels@emulated=false": 23.8},
    "simple-reference-taught": {"simple-reference": -9.7},
    "supply-chain": {
        "supply-chain:3@manager=incentives@manager_deeds=large-supplier@manager_every=30"
        "@manager_offers=0.3,0.4,0.5@manager_together=true": 67.0
    },
}


def test_all_of_them_are_known() -> None:
    assert roster.shipped() == sorted([*LEAST, "blocks", "parcels-delayed"])


@pytest.mark.parametrize("name", LEAST)
def test_they_play_as_well_as_is_said(name: str) -> None:
    member = roster.load(name)
    assert member.config.games == tuple(LEAST[name])
    for setting, least in LEAST[name].items():
        assert evaluate(member.policy, games.setting(setting), 200, 1).mean() > least


@pytest.mark.parametrize("partner", ["bot:piers", "bot:internal", "bot:van-den-bergh"])
def test_who_learned_with_partners_gets_on_with_others(partner: str) -> None:
    """Partners it never met (docs/adhoc.md): hardly a game is lost."""
    policies = [roster.load(name).policy for name in ("hanabi-2p-adhoc", partner)]
    seats = np.arange(100)[:, None] + np.arange(2) & 1
    outcome = play_many(games.setting("hanabi", players=2), policies, 100, 1, seats).outcome
    assert outcome["lost"].mean() <= 0.02
    assert outcome["score"].mean() > {"bot:internal": 12.0}.get(partner, 15.0)


def test_the_manager_pays_for_itself() -> None:
    """It keeps more than any constant word of the tables leaves, and pays a third of what it gains.

    Without a manager there are 48 (docs/managed.md).
    """
    member = roster.load("supply-chain")
    found = evaluate(member.policy, member.config.settings()[0], 200, 1)
    assert found.mean("manager") > 61
    assert 0 < found.mean("payments") < (found.mean("raw") - 48) / 2.5


def test_who_learned_to_sort_sorts_on_the_cartridges() -> None:
    policy = roster.load("parcels").policy
    assert evaluate(policy, games.setting("parcels"), 8, 1).mean() > 23.5


@pytest.mark.parametrize("options", ["", "@pace=4@every=2@delay=2", "@pace=4@every=2@delay=4"])
def test_who_learned_to_sort_with_delay_sorts_at_once_and_late(options: str) -> None:
    policy = roster.load("parcels-delayed").policy
    setting = games.setting(f"parcels@emulated=false{options}")
    assert evaluate(policy, setting, 24, 1).mean() > 22.8


def test_who_learned_to_sort_with_delay_sorts_by_the_frame_clock() -> None:
    """On the cartridges, answers a turn late; who learned without delay sorts 15 to 19."""
    setting = games.setting("parcels@pace=4@every=2@told=64")
    latency = Latency(1 / 59.7275, 0.05)
    played = [
        play_in_virtual_time(
            setting, roster.load(name).policy, find_scheme("frame_clock"), latency, games=2
        ).scores
        for name in ("parcels-delayed", "parcels")
    ]
    assert np.mean(played[0]) > 22.8
    assert np.mean(played[1]) < 21


def test_who_learned_to_fill_rows_fills_them_on_the_cartridge() -> None:
    """Of 1000 pieces 387 rows, of at most 400; a game that is short has less."""
    policy = roster.load("blocks").policy
    computed = evaluate(policy, games.setting("blocks@emulated=false@pieces=250"), 32, 1)
    assert computed.mean("lines") / computed.mean("pieces") > 0.36
    assert computed.mean("pieces") > 170
    real = evaluate(policy, games.setting("blocks@pieces=60"), 4, 1)
    assert real.mean("lines") / real.mean("pieces") > 0.25
