"""Training with partners: who is drawn, what is learned from, and what a run goes on with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agents.core import Observations
from games.core import Step
from marl.runs import roster
from marl.runs.config import TrainConfig, from_dict, to_dict
from marl.runs.partners import PartnersConfig
from marl.runs.serial import SerialRun
from marl.runs.state import flatten
from marl.runs.train import train
from tests.marl.runs.test_serial import CONFIG, assert_same

PARTNERS = PartnersConfig(
    names=("bot:smart", "bot:iggi=2", "hanabi-2p"), lists=3, lists_seed=5, self_play=0.3
)
MIXED = replace(CONFIG, partners=PARTNERS)


def test_partners_are_met_as_often_as_they_weigh() -> None:
    draw = PARTNERS.seating(2)
    seats = draw(np.random.default_rng(0), 20_000)
    with_whom = seats.max(1)
    assert (seats[with_whom == 0] == 0).all()
    assert ((seats == 0).sum(1)[with_whom > 0] == 1).all()
    assert 0.48 < (seats[with_whom > 0, 0] == 0).mean() < 0.52
    met_in = np.bincount(with_whom[with_whom > 0], minlength=7)[1:] / (with_whom > 0).sum()
    np.testing.assert_allclose(met_in, np.array([1, 2, 1, 1, 1, 1]) / 7, atol=0.01)


@pytest.mark.parametrize("players", [2, 3, 5])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.57])
def test_self_play_has_its_share_of_sequences(players: int, share: float) -> None:
    """Of a mixed game the learner holds any number of seats but none and all."""
    draw = replace(PARTNERS, self_play=share).seating(players)
    seats = draw(np.random.default_rng(1), 50_000)
    mine, alone = (seats == 0).sum(1), seats.max(1) == 0
    assert mine[alone].sum() / mine.sum() == pytest.approx(share, abs=0.01)
    assert set(mine[~alone]) == set(range(1, players))
    assert all(len(set(row[row > 0])) == 1 for row in seats[~alone][:500])


def test_only_the_learners_sequences_are_inserted_and_curves_are_told_apart() -> None:
    """One for each of its seats in every game that ended."""
    uncut = replace(CONFIG.replay, max_length=128, capacity=5_000, capacity_bytes=1 << 25)
    run = SerialRun(replace(MIXED, games=("hanabi:3",), warm_up=10_000, replay=uncut))
    (actor,) = run.actors
    step, ended = actor.game.step, list[np.ndarray]()

    def watched(moves: np.ndarray) -> Step:
        seating = actor.table.seating.copy()
        found = step(moves)
        ended.append(seating[found.over])
        return found

    actor.game.step = watched  # type: ignore[method-assign, assignment]
    for _ in range(600):
        run.step()
    inserted = run.limiter.inserts
    seats = np.concatenate(ended)
    assert len(seats) == actor.episodes > 30
    assert inserted == (seats == 0).sum() < seats.size
    metrics = run.learning_metrics()
    found = {name for name in metrics if name.endswith("/score")}
    labels = ("itself", "bot-smart", "bot-iggi", "hanabi-2p", "lists")
    assert found <= {f"partners/hanabi-3/{label}/score" for label in labels}
    assert len(found) > 3
    assert not [name for name in run.learning_metrics() if name.endswith("/score")]
    # Who was met is told of every sequence: what replay holds of each is what was played with it.
    held = run.replay.by_partner(0, 6)  # type: ignore[attr-defined]
    with_whom, mine = seats.max(1), (seats == 0).sum(1)
    met = np.bincount(with_whom, mine, 7)
    np.testing.assert_array_equal(held[:, 0], met)
    of_lists = metrics["partners/hanabi-3/lists/sequences"]
    assert of_lists == pytest.approx(met[4:].sum() / met.sum())
    assert metrics["partners/hanabi-3/itself/sequences"] == pytest.approx(met[0] / met.sum())
    assert sum(metrics[f"partners/hanabi-3/{label}/drawn"] for label in labels) == pytest.approx(1)


def test_errors_are_told_by_partner() -> None:
    """Of everybody in the batches, and together they are the mean of all steps."""
    run = SerialRun(MIXED)
    updates = list[dict[str, float]]()
    original = run.learner.update
    run.learner.update = lambda m=None: updates.append(original(m)) or updates[-1]  # type: ignore
    while run.learner.updates < 12:
        run.step()
    apart = [{k: v for k, v in told.items() if k.startswith("td_error/")} for told in updates]
    assert max(len(errors) for errors in apart) > 2
    assert all(
        min(errors.values()) <= told["td_error"] <= max(errors.values()) + 1e-6
        for told, errors in zip(updates, apart, strict=True)
        if errors
    )
    metrics = run.learning_metrics()
    assert metrics["partners/lists/td_error"] > 0
    assert not [name for name in metrics if name.startswith("learn/td_error/")]


def test_a_run_with_partners_goes_on_bit_for_bit(tmp_path: Path) -> None:
    """Who sits where, and what partners remember, is part of what is saved."""
    often = replace(PARTNERS, names=("bot:smart=9", "bot:iggi"), self_play=0.0)
    config = replace(CONFIG, partners=often)
    whole = train(config, tmp_path / "whole", updates=24)
    train(config, tmp_path / "parts", updates=9)
    parts = train(config, tmp_path / "parts", updates=24, resume=True)
    ours, theirs = flatten(whole.state()), flatten(parts.state())
    assert_same(ours, theirs)
    seats = np.concatenate([ours[0][f"actors/{i}/table/seating"].ravel() for i in range(2)])
    assert len(set(seats.tolist())) > 2
    smart = [ours[0][f"actors/{i}/table/memory/1"] for i in range(2)]
    assert any(np.asarray(memory).any() for memory in smart)


def test_the_configuration_comes_back_from_json() -> None:
    assert from_dict(json.loads(json.dumps(to_dict(MIXED)))) == MIXED
    assert {"bot:smart", "bot:iggi", "hanabi-2p", "bot:list-5", "bot:list-7"} <= MIXED.met()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": ("bot:iggi", "bot:iggi=3")}, "bot:iggi is named twice"),
        ({"names": ("bot:iggi=0",)}, "'bot:iggi=0' has no positive weight"),
        ({"names": ("bot:iggi=much",)}, "has no positive weight"),
        ({"names": ("bot:list-1",), "lists": 3}, "bot:list-1 is named twice"),
        ({"lists": -1}, "cannot be negative"),
        ({"lists_weight": 0.0}, "lists_weight must be positive"),
        ({"self_play": 1.0}, r"self_play must be in \[0, 1\)"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PartnersConfig(**options)  # type: ignore[arg-type]


def test_who_cannot_be_a_partner_is_said_before_anything_is_begun(tmp_path: Path) -> None:
    iggi = PartnersConfig(names=("bot:iggi",))
    with pytest.raises(ValueError, match="mixing=vdn learns from all seats"):
        replace(CONFIG, partners=iggi, learner=replace(CONFIG.learner, mixing="vdn"))
    with pytest.raises(ValueError, match="partner bot:iggi cannot play escape-room"):
        train(TrainConfig(games=("escape-room",), partners=iggi), tmp_path / "a", updates=1)
    clever = PartnersConfig(names=("bot:clever",))
    with pytest.raises(ValueError, match="there is no bot 'clever'"):
        train(replace(CONFIG, partners=clever), tmp_path / "b", updates=1)
    train(CONFIG, tmp_path / "run", updates=1)
    running = PartnersConfig(names=(str(tmp_path / "run"),))
    with pytest.raises(ValueError, match="is a run, whose weights may change: troupe export"):
        train(replace(CONFIG, partners=running), tmp_path / "c", updates=1)
    roster.export(roster.load(str(tmp_path / "run")), tmp_path / "frozen")
    frozen = PartnersConfig(names=(str(tmp_path / "frozen"),))
    assert train(replace(CONFIG, partners=frozen), tmp_path / "c", updates=2).learner.updates == 2
    assert not (tmp_path / "a").exists()


def test_partners_are_met_under_other_names_too() -> None:
    """With Other-Play a partner reads other colours than are dealt, and its moves are still its."""
    run = SerialRun(
        replace(
            MIXED,
            games=("hanabi:2",),
            partners=PartnersConfig(names=("hanabi-2p",), self_play=0.0),
            actor=replace(CONFIG.actor, other_play=True),
            warm_up=10_000,
        )
    )
    (actor,) = run.actors
    partner = actor.table.policies[1]
    read, act = set[str](), partner.act

    def watched(observations: Observations, memory: np.ndarray) -> object:
        assert partner.phrasebook is not None
        for row, count in zip(observations.facts, observations.fact_counts, strict=True):
            read.add(" ".join(sorted(partner.phrasebook.render(row[:count]))))
        return act(observations, memory)

    partner.act = watched  # type: ignore[method-assign, assignment]
    dealt = set[str]()
    for _ in range(6):
        game = actor.game.game  # type: ignore[attr-defined]
        for row, count in zip(game.facts, game.fact_counts, strict=True):
            dealt.add(" ".join(sorted(game.phrasebook.render(row[:count]))))
        run.step()
    assert len(read) > 10
    # Of 120 orders of five colours one leaves all as it is.
    assert len(read & dealt) < 0.2 * len(read)
