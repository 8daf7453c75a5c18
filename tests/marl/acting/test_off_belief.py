"""Off-belief targets against all worlds listed one by one, and runs that learn from them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agents.core import Observations
from games.hanabi import HanabiBatched, HanabiConfig
from games.text import Phrasebook
from marl.acting.off_belief import OffBelief
from marl.episodes import Episodes
from marl.remote import driver
from marl.runs.config import ActorConfig
from marl.runs.partners import PartnersConfig
from marl.runs.serial import SerialRun
from marl.runs.state import flatten
from marl.runs.train import train
from tests.games.test_hanabi_belief import allowed, hidden, own, p_value, played
from tests.marl.small_runs import CONFIG, assert_same

GAMMA, SCALE = 0.5, 0.25  # so that every sum is exact
# Few hidden cards, many hints, and lives enough to be lost within the reach of a target.
TWO = HanabiConfig(2, colours=2, ranks=2, hand_size=2, information_tokens=9, life_tokens=2)
THREE = HanabiConfig(3, colours=2, ranks=2, hand_size=1, information_tokens=9, life_tokens=1)
RUN = replace(
    CONFIG,
    games=("hanabi:3-4@small",),
    agent=replace(CONFIG.agent, core="feedforward"),
    actor=ActorConfig(num_games=8, epsilon=0.5),
    learner=replace(CONFIG.learner, off_belief=True),
)


class Pricing:
    """Prices every choice by a fixed function of what is seen, and takes the dearest."""

    memory_size, version = 0, 0
    phrasebook: Phrasebook | None = None

    def __init__(self, salt: int) -> None:
        self.salt = salt

    def act(self, observations: Observations, memory: NDArray[np.float32]) -> Any:
        facts = observations.facts.astype(np.int64)
        known = np.arange(facts.shape[1]) < observations.fact_counts[:, None]
        mixed = (facts * (2654435761 + self.salt) % 1009 * known).sum(1)[:, None]
        values = ((mixed + 7919 * observations.choices.astype(np.int64)) % 101 / 8).astype("f4")
        legal = np.arange(values.shape[1]) < observations.choice_counts[:, None]
        values[~legal] = -np.inf
        return values.argmax(1), values, memory


POLICY, CRITIC = Pricing(3), Pricing(5)


def seen(game: HanabiBatched) -> Observations:
    return Observations(game.facts, game.fact_counts, game.choices, game.choice_counts)


def copies(game: HanabiBatched, i: int, count: int) -> HanabiBatched:
    """A batch of one of the games over and over."""
    batch = HanabiBatched(game.config, count, restart=False)
    batch.load_state({name: np.repeat(a[i : i + 1], count, 0) for name, a in game.state().items()})
    return batch


def listed(game: HanabiBatched, i: int, seat: int) -> HanabiBatched:
    """Every world that a seat may believe in, as often as there are orders of cards that make it.

    The belief is written down here without the sampler: what the seat does not see, in each of its
    orders, where hints allow the hand.
    """
    config, state = game.config, game.state()
    pool, slots = hidden(state, config, i, seat), allowed(state, config, i, seat)
    orders = [
        order
        for order in permutations(pool)
        if all(card in slot for card, slot in zip(order, slots, strict=False))
    ]
    batch = copies(game, i, len(orders))
    cards, drawn = own(state, config, i, seat), int(state["drawn"][i])
    arrays = {name: np.asarray(array).copy() for name, array in batch.state().items()}
    hand = cards.stop - cards.start
    arrays["cards"][:, cards] = np.array(orders)[:, :hand]
    arrays["deck"][:, drawn : drawn + len(pool) - hand] = np.array(orders)[:, hand:]
    batch.load_state(arrays)  # type: ignore[arg-type]
    return batch


def expected(game: HanabiBatched, i: int, seat: int, move: int, n: int) -> Counter[float]:
    """How likely each target is, by the definition."""
    worlds = listed(game, i, seat)
    earned, elapsed = np.zeros(worlds.num_games), np.zeros(worlds.num_games, np.int64)
    moves = np.full(worlds.num_games, move)
    for turn in range(worlds.num_players):
        if turn:
            moves = POLICY.act(seen(worlds), np.zeros((len(moves), 0), np.float32))[0]
        step = worlds.step(moves)
        earned += step.rewards[:, seat]
        elapsed += step.elapsed
        if not len(worlds.due_game):
            break
    found: Counter[float] = Counter()
    observations = seen(worlds)
    moves, _, _ = POLICY.act(observations, np.zeros((len(observations), 0), np.float32))
    _, values, _ = CRITIC.act(observations, np.zeros((len(observations), 0), np.float32))
    place = dict(zip(worlds.due_game.tolist(), range(len(moves)), strict=True))
    for world in range(worlds.num_games):
        now, chance = earned[world] * SCALE, 1 / worlds.num_games
        if world not in place:
            found[round(now, 6)] += chance
            continue
        row, discount = place[world], GAMMA ** elapsed[world]
        if n == 1:
            found[round(float(now + discount * values[row, moves[row]]), 6)] += chance
            continue
        for later, of_them in expected(worlds, world, seat, int(moves[row]), n - 1).items():
            found[round(float(now + discount * later), 6)] += chance * of_them
    return found


@pytest.mark.parametrize(
    ("config", "turns", "n"), [(TWO, 4, 1), (TWO, 8, 2), (THREE, 3, 1), (THREE, 4, 2)]
)
def test_targets_are_those_of_all_worlds(config: HanabiConfig, turns: int, n: int) -> None:
    """Each with its chance; what the real hidden cards are makes no difference."""
    games = played(config, 60, turns, seed=turns + n)
    rng, told, ends, p_values = np.random.default_rng(0), 0, 0, []
    for row, i in enumerate(games.due_game.tolist()):
        state, seat = games.state(), int(games.due_seat[row])
        if len(hidden(state, config, i, seat)) > (6 if n == 1 else 4) or len(p_values) == 8:
            continue
        batch = copies(games, i, 3000)
        before = batch.state()
        move = int(rng.integers(games.choice_counts[row]))
        targets = OffBelief(
            batch, POLICY, CRITIC, n_step=n, gamma=GAMMA, reward_scale=SCALE
        ).targets(np.full(3000, move), rng)
        assert all((a == before[name]).all() for name, a in batch.state().items())
        chances = {(t,): c for t, c in expected(games, i, seat, move, n).items()}
        p_values.append(p_value([(round(float(t), 6),) for t in targets], chances))
        told += any(len(slot) < 4 for slot in allowed(state, config, i, seat))
        ends += len(chances) > 1
    assert len(p_values) >= 5
    assert told
    assert ends >= 2, "targets that depend on the world"
    assert min(p_values) > 1e-4, p_values


def test_a_run_learns_from_targets_and_from_nothing_else() -> None:
    """What is inserted are the targets, one a move; the learner takes them as they are."""
    uncut = replace(RUN.replay, max_length=32)
    run = SerialRun(replace(RUN, games=("hanabi:2@small",), warm_up=10**6, replay=uncut))
    (actor,) = run.actors
    assert actor.off_belief is not None
    made, inserted = list[np.ndarray](), list[np.ndarray]()
    original = actor.off_belief.targets
    actor.insert = lambda episodes: inserted.append(episodes.rewards)

    def watched(moves: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        made.append(original(moves, rng))
        return made[-1]

    actor.off_belief.targets = watched  # type: ignore[method-assign]
    for _ in range(60):
        actor.step()
    left = [
        actor.tracks.rewards[k, :length] for k, length in enumerate(actor.tracks.length.tolist())
    ]
    ours, theirs = np.concatenate([*inserted, *left]), np.concatenate(made)
    np.testing.assert_array_equal(np.sort(ours), np.sort(theirs))
    assert len(np.unique(theirs)) > 20


def test_a_run_goes_on_bit_for_bit(tmp_path: Path) -> None:
    """Across copies of the target network (every fifth update) to who prices worlds."""
    whole = train(RUN, tmp_path / "whole", updates=17)
    train(RUN, tmp_path / "parts", updates=8)
    parts = train(RUN, tmp_path / "parts", updates=17, resume=True)
    assert_same(flatten(whole.state()), flatten(parts.state()))


def test_targets_are_learned_as_they_are() -> None:
    """Where every one of them is 3.5, every value comes to 3.5, and nothing is added for later."""
    learner = replace(RUN.learner, learning_rate=3e-3, batch=16)
    run = SerialRun(replace(RUN, games=("hanabi:2@small",), learner=learner))
    insert = run.replay.insert

    def level(episodes: Episodes) -> None:
        episodes.rewards[:] = 3.5
        insert(episodes)

    run.replay.insert = level  # type: ignore[method-assign]
    while run.learner.updates < 80:
        run.step()
        if run.learner.updates == 60:
            run.learning_metrics()
    metrics = run.learning_metrics()
    assert metrics["learn/q"] == pytest.approx(3.5, abs=0.3)
    assert metrics["learn/td_error"] < 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"agent": CONFIG.agent}, "does not go with memory: add --agent.core feedforward"),
        ({"learner": replace(RUN.learner, mixing="vdn")}, "does not go with learner.mixing=vdn"),
        ({"partners": PartnersConfig(names=("bot:iggi",))}, "does not go with partners"),
        ({"imitate": "bot:iggi"}, "does not go with somebody to imitate"),
        ({"actor": CONFIG.actor}, "does not go with actor.other_play"),
    ],
)
def test_what_does_not_go_together_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(RUN, **change)


def test_games_without_beliefs_are_refused_before_anything_is_begun(tmp_path: Path) -> None:
    others = replace(RUN, games=("escape-room",), per_setting=())
    with pytest.raises(ValueError, match="escape-room:2 does not say what its seats may believe"):
        train(others, tmp_path / "a", updates=1)
    with pytest.raises(ValueError, match="learned in one process: leave out --workers"):
        driver.train_distributed(RUN, tmp_path / "b", workers=1, updates=1)
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "b").exists()
