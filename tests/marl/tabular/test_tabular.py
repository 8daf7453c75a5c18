"""Tables: what they learn in games whose answer is known, and what tells their cases apart."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import games
from games.supply_chain import SupplyChainConfig
from games.supply_chain.solver import Solver
from marl.acting.table import observe
from marl.tabular.learn import HISTORY, Learners, TabularConfig, learn
from marl.tabular.regret import gain, profile_of
from marl.tabular.tables import Tables, TabularPolicy
from scripts import cli

FEW = TabularConfig(episodes=3000, games=64, learning_rate=0.2, last_epsilon=0.05, ignore="")


def learned(name: str, seed: int = 1, config: TabularConfig = FEW) -> Learners:
    return learn(games.setting(name), config, seed, lambda episodes, run: None, 10**6)


def test_a_dilemma_is_played_as_its_rewards_say() -> None:
    selfish = learned("prisoners-dilemma@manager=none").evaluate(20, 5)
    assert (selfish["raw"], selfish["cooperation"]) == (-20, 0)
    shared = learned("prisoners-dilemma@manager=shared").evaluate(20, 5)
    assert (shared["raw"], shared["cooperation"]) == (-10, 1)
    paid = learned("prisoners-dilemma@manager=subsidy@manager_offers=1.2").evaluate(20, 5)
    assert paid["raw"] == -10
    assert paid["payments"] == pytest.approx(12)


def test_a_manager_does_not_pay_more_than_it_gains() -> None:
    name = "stag-hunt@stag=4@hare=3@hunters=2@rounds=3@manager=incentives@manager_together=true"
    config = TabularConfig(
        episodes=8000, games=64, learning_rate=0.2, epsilon=0.5, last_epsilon=0.02, ignore=""
    )
    run = learned(f"{name}@manager_deeds=hunt-the-stag@manager_offers=2@manager_every=3", 1, config)
    found = run.evaluate(20, 5)
    assert found["manager"] == found["raw"] - found["payments"]
    # Both hunt hares by themselves (18); for the stag (24) they would have to be paid 12.
    assert found["payments"] == 0
    assert found["raw"] == 18


def test_players_stand_still_once_the_manager_begins() -> None:
    """Their tables stay as they are; the manager's do not."""
    config = TabularConfig(
        episodes=600, games=16, idle_manager=0.5, still_players=True, epsilon=1.0, ignore=""
    )
    game = games.setting("escape-room:2@manager=incentives")
    run = Learners(game, config, 1)
    while run.episodes < 300:
        run.step()
    before = run.tables.values.copy()
    while run.episodes < 600:
        run.step()
    changed = run.tables.values != before
    said = [run.game.phrasebook[int(id)] for id in run.game.choice_phrases]
    asks = np.array([sentence.startswith("I ask ") for sentence in said])
    assert changed[:, asks].any()
    assert not changed[:, ~asks].any()


def test_two_of_three_are_paid_to_let_the_third_out() -> None:
    """Raw 8 is the optimum; the two cost 1.2 each."""
    name = "escape-room:3@manager=incentives@manager_offers=1.2@manager_deeds=lever"
    config = TabularConfig(
        episodes=8000,
        games=32,
        gamma=0.9,
        epsilon=0.1,
        last_epsilon=0.002,
        learning_rate=0.2,
        idle_manager=0.5,
        still_players=True,
        ignore="",
    )
    found = learned(name, 1, config).evaluate(20, 5)
    assert found["raw"] >= 7
    assert found["payments"] <= 3.6


def test_the_same_seed_learns_the_same() -> None:
    config = TabularConfig(episodes=300, games=16)
    name = "supply-chain:2@periods=8@manager=incentives"
    one, two, other = (learned(name, seed, config) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.tables.values, two.tables.values)
    assert one.tables.rows > 50
    assert not np.array_equal(one.tables.values, other.tables.values)


def test_a_case_is_a_set_of_facts_and_a_seat() -> None:
    game = games.batched("escape-room:2", num_games=1)
    tables = Tables(game, 64, "rounds? left")
    run = learned("escape-room:2", config=TabularConfig(episodes=200, games=8, ignore="left"))
    first, second = run.policies()
    seen = observe(game)[np.array([0])]
    none = np.zeros((1, 0), np.float32)
    _, values, _ = first.act(seen, none)
    count = int(seen.fact_counts[0])
    turned = seen.facts.copy()
    turned[0, :count] = turned[0, :count][::-1]
    shuffled = type(seen)(turned, seen.fact_counts, seen.choices, seen.choice_counts)
    np.testing.assert_array_equal(first.act(shuffled, none)[1], values)
    assert not np.array_equal(second.act(seen, none)[1], values)
    left = {game.phrasebook[int(id)] for id in np.flatnonzero(tables.marks == 0)}
    assert left == {
        "there is 1 round left",
        *(f"there are {n} rounds left" for n in (0, 2, 3, 4, 5)),
    }


def test_what_tables_cannot_do_is_said() -> None:
    with pytest.raises(ValueError, match="no regular expression"):
        Tables(games.batched("escape-room:2", num_games=1), 64, "(")
    with pytest.raises(ValueError, match="learning-rate must be above 0"):
        TabularConfig(learning_rate=0)
    game = games.batched("escape-room:2", num_games=1)
    game.phrasebook.closed = False
    with pytest.raises(ValueError, match="says all its sentences from the start"):
        Tables(game, 64, "")


def test_the_profile_of_what_was_learned_plays_as_it_does() -> None:
    config = SupplyChainConfig(players=2, periods=10)
    name = "supply-chain:2@periods=10"
    run = learned(f"{name}@manager=none", 2, TabularConfig(episodes=4000, games=64, ignore=HISTORY))
    solver = Solver(config)
    exact = float(solver.returns(profile_of(config, run.policies())).sum())
    played = run.evaluate(2000, 9)["raw"]
    assert played == pytest.approx(exact, abs=0.5)
    idle = [TabularPolicy(Tables(run.game, 64, HISTORY), seat) for seat in range(2)]
    waiting = solver.returns(profile_of(config, idle)).sum()
    assert waiting < exact
    assert gain(config, run.policies()) >= 0


def test_the_command_leaves_alone_what_is_finished(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    brief = ["--episodes", "200", "--games", "16", "--evaluations", "1", "--evaluate-games", "10"]
    call = ["tabular", "supply-chain:2@periods=5@manager=none", "escape-room@manager=none", *brief]
    call += ["--out", str(tmp_path / "tab")]
    assert cli.main([*call, "--seeds", "1"]) == 0
    folder = tmp_path / "tab" / "supply-chain-2-manager-none-periods-5"
    file = folder / "seed-1" / "metrics.jsonl"
    before = file.read_text()
    last = json.loads(before.splitlines()[-1])
    assert last["step"] >= 200
    assert last["evaluate/supply-chain-2-manager-none-periods-5/regret"] >= 0
    assert cli.main([*call, "--seeds", "1-2"]) == 0
    assert file.read_text() == before
    assert (folder / "seed-2" / "metrics.jsonl").exists()
    assert cli.main([*call, "--seeds", "1", "--gamma", "0.5"]) == 2
    assert "learned with other options" in capsys.readouterr().err
