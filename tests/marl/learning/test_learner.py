"""The learner against arithmetic by hand, and on problems whose solution is known."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import marl.learning.batch
from agents.core import Observations
from agents.r3d2.agent import R3D2Agent
from agents.r3d2.config import R3D2Config
from games.hyperparameters import Hyperparameters
from games.text import PAD, Phrasebook
from marl.episodes import Episodes, concatenate
from marl.learning.batch import Batch
from marl.learning.config import LearnerConfig
from marl.learning.imitation import ImitationConfig, imitation_loss
from marl.learning.learner import Learner
from marl.learning.losses import forward, insight, own_hand_loss
from marl.learning.returns import n_step
from marl.learning.weights import LocalWeights
from marl.replay.prioritised import PrioritisedReplay, ReplayConfig, Sample
from marl.runs.checkpoint import CheckpointStore
from marl.runs.state import flatten, unflatten

AGENT = R3D2Config(core="gated", hidden=32, memory=32, text_hidden=32, own_hand=False)
CONFIG = LearnerConfig(
    batch=6, huber=1.0, n_step=2, gamma=0.9, refresh_interval=1, target_interval=1000
)
FACTS, CHOICES, ANSWERS = 12, 4, 6
LABELS = np.arange(FACTS + CHOICES, FACTS + CHOICES + ANSWERS, dtype=np.int16).reshape(2, 3)


def make_book(closed: bool = True) -> Phrasebook:
    things, places = ("lamp", "book", "key", "coin"), ("table", "shelf", "floor")
    facts = [f"the {thing} is on the {place}" for thing in things for place in places]
    takes = [f"I take the {thing}" for thing in things]
    answers = [f"my {hand} hand holds {n} things" for hand in ("left", "right") for n in range(3)]
    return Phrasebook([*facts, *takes, *answers], closed)


class Exact(R3D2Agent):
    """An agent that computes in float32 throughout."""

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        return contextlib.nullcontext()


class Script:
    """A replay that hands out given batches in turn and keeps what it is told."""

    def __init__(self, batches: list[Episodes], weights: Iterable[float] | None = None) -> None:
        self.batches, self.turn = batches, 0
        self.weights = None if weights is None else np.array(list(weights), np.float32)
        self.priorities: list[NDArray[np.float32]] = []

    def insert(self, episodes: Episodes) -> None:
        raise NotImplementedError

    def sample(self, n: int) -> Sample:
        episodes = self.batches[self.turn % len(self.batches)]
        self.turn += 1
        assert n == len(episodes)
        weights = np.ones(n, np.float32) if self.weights is None else self.weights
        return Sample(np.arange(n), weights, episodes)

    def update(self, ids: NDArray[np.int64], priorities: NDArray[np.float32]) -> None:
        assert ids.tolist() == list(range(len(priorities)))
        self.priorities.append(priorities.copy())


def random_episodes(
    rng: np.random.Generator, lengths: list[int], memory_size: int, labels: int = 0
) -> Episodes:
    """Sequences over the little phrasebook; every other one begins midway, some are cut."""
    steps = sum(lengths)
    facts = [rng.choice(FACTS, rng.integers(1, 6), replace=False) for _ in range(steps)]
    choices = [
        FACTS + rng.choice(CHOICES, rng.integers(1, CHOICES + 1), replace=False)
        for _ in range(steps)
    ]
    counts = np.array([len(c) for c in choices], np.int16)
    memory = rng.normal(size=(len(lengths), memory_size)).astype(np.float32)
    memory[::2] = 0
    return Episodes(
        lengths=np.array(lengths, np.int32),
        fact_counts=np.array([len(f) for f in facts], np.int16),
        facts=np.concatenate(facts).astype(np.int16),
        choice_counts=counts,
        choices=np.concatenate(choices).astype(np.int16),
        actions=rng.integers(0, counts).astype(np.int16),
        rewards=rng.normal(size=steps).astype(np.float32),
        elapsed=np.ones(steps, np.int16),
        fresh=np.arange(len(lengths)) % 2 == 0,
        terminal=np.arange(len(lengths)) % 3 != 1,
        memory=memory,
        setting=np.zeros(len(lengths), np.int16),
        version=np.arange(len(lengths), dtype=np.int32),
        seat=np.zeros(len(lengths), np.int8),
        partner=np.zeros(len(lengths), np.int16),
        labels=rng.integers(-1, 3, (steps, labels)).astype(np.int8),
        taught=np.full(steps, -1, np.int16),
    )


LENGTHS = [3, 5, 1, 4, 2, 7]


def make(
    batches: list[Episodes] | None = None,
    config: LearnerConfig = CONFIG,
    agent: R3D2Config = AGENT,
    weights: Iterable[float] | None = None,
    book: Phrasebook | None = None,
    kind: type[R3D2Agent] = Exact,
    imitation: ImitationConfig | None = None,
) -> tuple[Learner, Script]:
    player = kind(agent, book or make_book(), seed=1)
    player.admit(range(FACTS), range(FACTS, FACTS + CHOICES), LABELS)
    if batches is None:
        rng = np.random.default_rng(2)
        batches = [random_episodes(rng, LENGTHS, player.memory_size) for _ in range(3)]
    script = Script(batches, weights)
    return Learner(player, script, LocalWeights(), config, imitation=imitation), script


def q_values(agent: R3D2Agent, episodes: Episodes) -> list[NDArray[np.float32]]:
    """The values of every step, by acting through each sequence turn by turn."""
    values = []
    step = fact = choice = 0
    for e, length in enumerate(episodes.lengths.tolist()):
        memory = episodes.memory[e : e + 1]
        for t in range(step, step + length):
            f, c = int(episodes.fact_counts[t]), int(episodes.choice_counts[t])
            seen = Observations(
                episodes.facts[None, fact : fact + f],
                np.array([f], np.int16),
                episodes.choices[None, choice : choice + c],
                np.array([c], np.int16),
            )
            _, q, memory = agent.act(seen, memory)
            values.append(q[0])
            fact, choice = fact + f, choice + c
        step += length
    return values


def huber(error: float, threshold: float = 1.0) -> float:
    if abs(error) < threshold:
        return 0.5 * error**2
    return threshold * (abs(error) - 0.5 * threshold)


def by_hand(
    learner: Learner, episodes: Episodes, weights: NDArray[np.float32]
) -> tuple[float, list[list[float]]]:
    """The loss, and the errors of the learned steps of each sequence."""
    learner.agent.forget()
    learner.target.forget()
    online, target = (q_values(agent, episodes) for agent in (learner.agent, learner.target))
    config, first, loss = learner.config, 0, 0.0
    all_errors = []
    for e, length in enumerate(episodes.lengths.tolist()):
        errors = []
        warm = 0 if episodes.fresh[e] else config.burn_in
        end = first + length
        last = end if episodes.terminal[e] else end - 1
        for t in range(first + warm, last):
            window = episodes.rewards[t : min(t + config.n_step, last)]
            goal = sum(config.gamma**k * float(r) for k, r in enumerate(window))
            then = t + len(window)
            if then < end:
                best = int(online[then].argmax())
                goal += config.gamma ** len(window) * float(target[then][best])
            errors.append(float(online[t][episodes.actions[t]]) - goal)
        loss += float(weights[e]) * sum(huber(error, config.huber) for error in errors)
        all_errors.append(errors)
        first = end
    return loss / episodes.steps, all_errors


@pytest.mark.parametrize(("burn_in", "threshold"), [(0, 1.0), (2, 1.0), (2, 0.5), (0, 9.0)])
@pytest.mark.parametrize("n_step", [1, 3])
@pytest.mark.parametrize("encoder", ["phrases", "paragraph", "vector"])
def test_the_loss_is_that_of_double_q(
    burn_in: int, threshold: float, n_step: int, encoder: str
) -> None:
    config = replace(CONFIG, burn_in=burn_in, n_step=n_step, huber=threshold)
    weights = np.array([1, 0.5, 0.25, 0.1, 0.7, 0.3], np.float32)
    agent = replace(AGENT, encoder=encoder)  # type: ignore[type-var]
    learner, script = make(config=config, agent=agent, weights=weights)
    other = Exact(agent, learner.agent.phrasebook, seed=5)
    learner.target.load(0, other.state_dict())
    episodes = script.batches[0]
    expected, errors = by_hand(learner, episodes, weights)
    metrics = learner.update()
    assert metrics["loss"] == pytest.approx(expected, rel=1e-4)
    flat = [abs(error) for part in errors for error in part]
    assert metrics["td_error"] == pytest.approx(sum(flat) / len(flat), rel=1e-4)
    for found, part in zip(script.priorities[0], errors, strict=True):
        size = [abs(error) for error in part]
        mix = 0.9 * max(size) + 0.1 * sum(size) / len(size) if size else 0.0
        assert found == pytest.approx(mix, rel=1e-3, abs=1e-5)
    assert max(flat) > 1, "the linear part of the loss was never met"


@pytest.mark.parametrize("mixing", ["iql", "vdn"])
def test_every_setting_has_its_own_discount_and_n(mixing: str) -> None:
    """Errors of a setting's sequences are those of a learner that knows no other setting."""
    config = replace(CONFIG, mixing=mixing)  # type: ignore[type-var]
    player = Exact(AGENT, make_book(), seed=1)
    batch = teams(np.random.default_rng(4), player.memory_size)
    units = np.flatnonzero(batch.seat == 0)
    batch.setting[:] = (np.cumsum(batch.seat == 0) - 1) % 2
    chosen = (Hyperparameters(gamma=0.95, n_step=1), Hyperparameters(gamma=0.5, n_step=3))
    count = len(units) if mixing == "vdn" else len(batch)
    kind = Teams if mixing == "vdn" else Script

    def priorities(own: LearnerConfig, *given: Hyperparameters) -> NDArray[np.float32]:
        agent = Exact(AGENT, make_book(), seed=1)
        agent.admit(range(FACTS), range(FACTS, FACTS + CHOICES), LABELS)
        script = kind([batch])
        own = replace(own, batch=count)
        Learner(agent, script, LocalWeights(), own, hyperparameters=given).update()
        return script.priorities[0]

    together = priorities(config, *chosen)
    of_units = batch.setting[units] if mixing == "vdn" else batch.setting
    for setting, one in enumerate(chosen):
        alone = priorities(replace(config, gamma=one.gamma, n_step=one.n_step))
        mine = of_units == setting
        np.testing.assert_allclose(together[mine], alone[mine], rtol=1e-5)
        assert not np.allclose(together[~mine], alone[~mine], rtol=1e-3)


def test_surplus_steps_have_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for rounding in (1, 7, 256):
        monkeypatch.setattr(marl.learning.batch, "ROUND_STEPS", rounding)
        learner, _ = make()
        found.append([learner.update()["loss"] for _ in range(3)])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4)
    np.testing.assert_allclose(found[0], found[2], rtol=1e-4)


def test_what_is_warmed_up_over_is_not_learned_from() -> None:
    """Actions and rewards of the burn-in change nothing; its facts do, through the memory."""
    config = replace(CONFIG, burn_in=2, batch=1)
    learner, _ = make(config=config)
    rng = np.random.default_rng(4)
    episodes = random_episodes(rng, [5], learner.agent.memory_size)
    episodes.terminal[:] = True
    episodes.memory[:] = rng.normal(size=episodes.memory.shape)
    episodes.fresh[:] = False
    first = int(episodes.choice_counts[:2].sum())
    episodes.choice_counts = np.r_[np.int16(2), np.int16(2), episodes.choice_counts[2:]]
    begin = np.array([FACTS, FACTS + 1, FACTS + 1, FACTS + 2], np.int16)
    episodes.choices = np.r_[begin, episodes.choices[first:]]
    episodes.actions[:2] = 0

    def outcome(changed: Episodes) -> tuple[float, list[torch.Tensor]]:
        learner, _ = make([changed], config)
        loss = learner.update()["loss"]
        return loss, [p.detach().clone() for p in learner.agent.parameters()]

    base, weights = outcome(episodes)
    same, same_weights = outcome(
        replace(
            episodes,
            actions=np.r_[np.ones(2, np.int16), episodes.actions[2:]],
            rewards=np.r_[np.full(2, 9, np.float32), episodes.rewards[2:]],
        )
    )
    assert same == base
    assert all(torch.equal(a, b) for a, b in zip(weights, same_weights, strict=True))
    facts = episodes.facts.copy()
    facts[0] = (facts[0] + 1) % FACTS
    assert outcome(replace(episodes, facts=facts))[0] != base
    later = episodes.rewards.copy()
    later[2] += 1
    assert outcome(replace(episodes, rewards=later))[0] != base


def bandit(rng: np.random.Generator, count: int, memory_size: int) -> Episodes:
    """One turn each: the right choice depends on the fact, and is worth 1."""
    fact, action = rng.integers(0, 2, count), rng.integers(0, 3, count)
    return Episodes(
        lengths=np.ones(count, np.int32),
        fact_counts=np.ones(count, np.int16),
        facts=fact.astype(np.int16),
        choice_counts=np.full(count, 3, np.int16),
        choices=np.tile(np.arange(FACTS, FACTS + 3, dtype=np.int16), count),
        actions=action.astype(np.int16),
        rewards=(action == fact).astype(np.float32),
        elapsed=np.ones(count, np.int16),
        fresh=np.ones(count, np.bool_),
        terminal=np.ones(count, np.bool_),
        memory=np.zeros((count, memory_size), np.float32),
        setting=np.zeros(count, np.int16),
        version=np.zeros(count, np.int32),
        seat=np.zeros(count, np.int8),
        partner=np.zeros(count, np.int16),
        labels=np.zeros((count, 0), np.int8),
        taught=np.full(count, -1, np.int16),
    )


@pytest.mark.parametrize("encoder", ["phrases", "paragraph", "vector"])
def test_it_learns_which_choice_is_worth_it(encoder: str) -> None:
    """In the arithmetic that training uses, bfloat16 included."""
    rng = np.random.default_rng(1)
    config = replace(CONFIG, batch=64, learning_rate=3e-3, text_learning_rate=3e-4)
    agent = replace(AGENT, encoder=encoder)  # type: ignore[type-var]
    learner, _ = make(
        [bandit(rng, 64, AGENT.memory) for _ in range(4)], config, agent, kind=R3D2Agent
    )
    losses = [learner.update()["loss"] for _ in range(200)]
    assert np.mean(losses[-10:]) < 0.05 * np.mean(losses[:5])
    learner.agent.forget()
    test = Observations(
        np.array([[0], [1]], np.int16),
        np.ones(2, np.int16),
        np.tile(np.arange(FACTS, FACTS + 3, dtype=np.int16), (2, 1)),
        np.full(2, 3, np.int16),
    )
    _, q, _ = learner.agent.act(test, np.zeros((2, learner.agent.memory_size), np.float32))
    np.testing.assert_allclose(q, [[1, 0, 0], [0, 1, 0]], atol=0.15)


def test_values_look_ahead_through_the_target() -> None:
    """A reward of 1 a turn for four turns: with one-step targets it has to travel back."""
    rng = np.random.default_rng(1)
    config = replace(CONFIG, batch=16, n_step=1, gamma=0.5, learning_rate=3e-3, target_interval=20)
    learner, _ = make([], config)
    parts = []
    for _ in range(16):
        part = random_episodes(rng, [4], learner.agent.memory_size)
        part.rewards[:], part.terminal[:] = 1, True
        part.fact_counts[:], part.facts = 1, np.arange(4, dtype=np.int16)  # they tell the turn
        parts.append(part)
    episodes = concatenate(parts)
    learner.replay = Script([episodes])
    for _ in range(400):
        learner.update()
    learner.agent.forget()
    q = q_values(learner.agent, episodes)
    values = np.array([q[t][episodes.actions[t]] for t in range(episodes.steps)]).reshape(16, 4)
    np.testing.assert_allclose(values.mean(0), [1.875, 1.75, 1.5, 1], atol=0.1)


def test_the_own_hand_is_learned() -> None:
    """On one batch the auxiliary loss falls far below that of guessing."""
    rng = np.random.default_rng(3)
    agent = replace(AGENT, own_hand=True)
    batch = random_episodes(rng, LENGTHS, AGENT.memory, labels=2)
    config = replace(CONFIG, learning_rate=3e-3, aux_weight=1.0)
    learner, _ = make([batch], config, agent)
    first = learner.update()
    assert first["own_hand_loss"] == pytest.approx(np.log(3), abs=0.6)
    assert first["own_hand_accuracy"] < 0.7
    for _ in range(150):
        last = learner.update()
    assert last["own_hand_loss"] < 0.1
    assert last["own_hand_accuracy"] == 1


def test_the_own_hand_loss_by_hand() -> None:
    """A mean over the cards held at a step, and each step at its importance."""
    answers = torch.tensor([[[2.0, 0, 0], [0, 0, 0]], [[0, 1, 0], [9, 9, 9]]])
    labels = torch.tensor([[0, 2], [1, -1]])
    weights = np.array([1.0, 0.5], np.float32)
    loss, told = own_hand_loss([answers], labels, weights)
    first, even = -np.log(np.exp(2) / (np.exp(2) + 2)), np.log(3)
    single = -np.log(np.e / (np.e + 2))
    assert float(loss) == pytest.approx((first + even) / 2 + 0.5 * single)
    assert told["own_hand_loss"] == (pytest.approx(first + even + single), 3)
    assert told["own_hand_accuracy"] == (2, 3)
    nothing, _ = own_hand_loss([answers], torch.full_like(labels, -1), weights)
    assert float(nothing) == 0
    # Beside the sheet of another game, whose answers are more and whose steps are others.
    other = torch.tensor([[[0.0, 3, 0, 0]], [[5.0, 0, 0, 0]], [[0.0, 0, 1, 0]]])
    answers = torch.cat([answers, torch.ones(1, 2, 3)])
    labels = torch.tensor([[0, 2, -1], [1, -1, -1], [-1, -1, 2]])
    weights = np.array([1.0, 0.5, 2.0], np.float32)
    both, told = own_hand_loss([answers, other], labels, weights)
    third = -np.log(np.e / (np.e + 3))
    assert float(both) == pytest.approx(float(loss) + 2 * third)
    assert told["own_hand_accuracy"] == (3, 4)


def test_insight_is_the_chance_of_a_right_guess() -> None:
    """A mean over what there is to guess; nothing where there is nothing."""
    answers = torch.tensor([[[2.0, 0, 0], [0, 0, 0]], [[0, 1, 0], [9, 9, 9]], [[5, 0, 0]] * 2])
    labels = torch.tensor([[0, 2], [1, -1], [-1, -1]])
    first, single = np.exp(2) / (np.exp(2) + 2), np.e / (np.e + 2)
    expected = [(first + 1 / 3) / 2, single, 0]
    np.testing.assert_allclose(insight([answers], labels), expected, atol=1e-6)


def test_what_is_guessed_right_is_earned() -> None:
    """Shaping changes the errors where guesses do, and nothing where there are no answers."""
    agent = replace(AGENT, own_hand=True)
    batch = random_episodes(np.random.default_rng(3), [4, 4, 3, 3], AGENT.memory, labels=2)
    batch.seat[:] = [0, 1, 0, 1]
    batch.fresh[:] = True
    nothing = replace(batch, labels=np.full_like(batch.labels, -1))
    for episodes, changes in ((batch, True), (nothing, False)):
        told = []
        for shaping in (0.0, 1.0):
            config = replace(CONFIG, mixing="vdn", aux_shaping=shaping)
            learner, _ = make([], config, agent)
            tables, units = learner.agent.current(), np.ones(2, np.float32)
            part = learner.objective.part(episodes, units, episodes.steps, 0, tables, tables)
            told.append(part.told)
        assert (told[0]["td_error"] != told[1]["td_error"]) == changes
        assert told[0]["own_hand_loss"] == told[1]["own_hand_loss"]


def test_rewards_are_scaled_before_they_are_learned_from() -> None:
    """A tenth of the rewards, or a scale of a tenth: the same update."""
    batch = random_episodes(np.random.default_rng(3), LENGTHS, AGENT.memory)
    small = replace(batch, rewards=batch.rewards * np.float32(0.1))
    scaled, _ = make([batch], replace(CONFIG, reward_scale=0.1))
    plain, _ = make([small])
    assert scaled.update() == plain.update()


def test_the_own_hand_loss_does_not_drown_the_td_loss() -> None:
    """Gradients on what both share: of one order, whatever the length of sequences."""
    agent = replace(AGENT, own_hand=True)
    for lengths in (LENGTHS, [30] * 6):
        batch = random_episodes(np.random.default_rng(3), lengths, AGENT.memory, labels=2)
        norms = []
        for config in (replace(CONFIG, aux_weight=0.0), replace(CONFIG, aux_weight=1e4)):
            learner, _ = make([batch], config, agent)
            learner.update()
            shared = learner.agent.network.mix.weight.grad
            assert shared is not None
            norms.append(float(shared.norm()))
        norms[1] /= 1e4 / CONFIG.aux_weight
        assert norms[1] < norms[0]


def test_the_answer_sheet_does_not_leak_into_values() -> None:
    """Other answers: another auxiliary loss, the same Q-values, errors and priorities."""
    agent = replace(AGENT, own_hand=True)
    batch = random_episodes(np.random.default_rng(3), LENGTHS, AGENT.memory, labels=2)
    other = replace(batch, labels=((batch.labels + 2) % 4 - 1).astype(np.int8))
    (one, script), (two, other_script) = make([batch], agent=agent), make([other], agent=agent)
    ours, theirs = one.update(), two.update()
    assert ours["own_hand_loss"] != theirs["own_hand_loss"]
    for name in ("loss", "td_error", "q"):
        assert ours[name] == theirs[name]
    np.testing.assert_array_equal(script.priorities[0], other_script.priorities[0])


def taught(episodes: Episodes, rng: np.random.Generator) -> Episodes:
    """Every other sequence a teacher's."""
    of_teacher = np.repeat(np.arange(len(episodes)) % 2 == 0, episodes.lengths)
    choices = rng.integers(0, episodes.choice_counts)
    return replace(episodes, taught=np.where(of_teacher, choices, -1).astype(np.int16))


def test_the_imitation_loss_is_the_cross_entropy_of_what_was_taught() -> None:
    """Beside a TD loss, errors and priorities that are what they are without it."""
    rng = np.random.default_rng(6)
    imitation = ImitationConfig(updates=1, anneal=4, weight=0.7, temperature=0.3)
    plain = random_episodes(rng, LENGTHS, AGENT.memory)
    batch = taught(plain, rng)
    batch.version[:] = -1
    batch.version[1::2] = -3  # of the agent's own sequences
    weights = np.array([1, 0.5, 0.25, 0.1, 0.7, 0.3], np.float32)
    one, script = make([batch], weights=weights, imitation=imitation)
    two, other = make([plain], weights=weights)
    values = q_values(one.agent, batch)
    nats, agreed, expected = [], [], 0.0
    for e, step in zip(np.repeat(np.arange(6), batch.lengths), range(batch.steps), strict=True):
        if batch.taught[step] >= 0:
            q = values[step] / 0.3
            nats.append(np.log(np.exp(q - q.max()).sum()) + q.max() - q[batch.taught[step]])
            agreed.append(q.argmax() == batch.taught[step])
            expected += weights[e] * nats[-1]
    tensors = Batch(batch, one.agent)
    q, _ = forward(one.agent, one.agent.tables(one.text.leaf), tensors)
    of_steps = np.repeat(weights, batch.lengths)
    loss, _ = imitation_loss(q, tensors.taught, of_steps, imitation, updates=0)
    assert float(loss.detach()) == pytest.approx(0.7 * 0.3 * expected, rel=1e-4)
    ours, theirs = one.update(), two.update()
    assert ours["imitation_loss"] == pytest.approx(np.mean(nats), rel=1e-4)
    assert ours["imitation_agreement"] == pytest.approx(np.mean(agreed))
    assert 0 < np.mean(agreed) < 1
    assert ours["staleness"] == 3
    for name in ("loss", "td_error", "q"):
        assert ours[name] == theirs[name]
    np.testing.assert_array_equal(script.priorities[0], other.priorities[0])
    assert "imitation_loss" not in theirs
    assert ours["imitation_weight"] == 0.7
    found = [one.update()["imitation_weight"] for _ in range(5)]
    assert found == pytest.approx([0.7, 0.525, 0.35, 0.175, 0])


def test_imitation_ends_with_its_weight() -> None:
    """What a teacher chose changes nothing any more."""
    rng = np.random.default_rng(6)
    plain = random_episodes(rng, LENGTHS, AGENT.memory)
    imitation = ImitationConfig(updates=1, anneal=0)
    (one, _), (two, _) = (
        make([batch], imitation=imitation) for batch in (plain, taught(plain, rng))
    )
    one.updates = two.updates = 1
    for _ in range(3):
        ours, theirs = one.update(), two.update()
        assert ours["loss"] == theirs["loss"]
    assert (ours["imitation_loss"], theirs["imitation_weight"]) == (0, 0)
    assert theirs["imitation_loss"] > 0


@pytest.mark.parametrize("mixing", ["iql", "vdn"])
def test_what_is_taught_is_learned(mixing: str) -> None:
    """The choice that is taught, although another is worth more and no game shows its worth."""
    rng = np.random.default_rng(1)
    batch = bandit(rng, 64, AGENT.memory)
    batch.taught = ((batch.facts + 1) % 3).astype(np.int16)
    config = replace(CONFIG, batch=64, learning_rate=3e-3, mixing=mixing)  # type: ignore[arg-type]
    learner, _ = make([batch], config, imitation=ImitationConfig(weight=3.0))
    for _ in range(150):
        metrics = learner.update()
    assert metrics["imitation_agreement"] == 1
    assert metrics["imitation_loss"] < 0.1
    q = q_values(learner.agent, batch)
    assert all(row.argmax() == choice for row, choice in zip(q, batch.taught, strict=True))


# Turns of every seat of each episode, and whether it was played to its end. Of a game that is cut
# off, the rest of a round that not all have played belongs to none.
TEAMS = (((3, 2), True), ((4, 4, 3), True), ((2,), True), ((1, 1), False), ((5, 5, 4, 4), False))


def teams(rng: np.random.Generator, memory_size: int) -> Episodes:
    """Episodes of two to four seats."""
    lengths = [n for turns, _ in TEAMS for n in turns]
    episodes = random_episodes(rng, lengths, memory_size)
    episodes.memory[:] = 0
    episodes.seat = np.array([i for turns, _ in TEAMS for i in range(len(turns))], np.int8)
    episodes.terminal = np.array([ended for turns, ended in TEAMS for _ in turns])
    return episodes


class Teams(Script):
    """Hands out whole episodes: the ids are theirs."""

    def sample(self, n: int) -> Sample:
        self.turn += 1
        weights = np.ones(len(TEAMS), np.float32) if self.weights is None else self.weights
        return Sample(np.arange(len(TEAMS)), weights, self.batches[0])


@pytest.mark.parametrize("lanes", [1, 2, 4])
@pytest.mark.parametrize("n_step", [1, 3])
def test_the_loss_of_vdn_is_that_of_the_sum_over_seats(n_step: int, lanes: int) -> None:
    """One error a round, with the reward of the seat that moves first, counted once."""
    config = replace(CONFIG, n_step=n_step, mixing="vdn", lanes=lanes)
    weights = np.array([1, 0.5, 0.25, 0.7, 0.3], np.float32)
    batch = teams(np.random.default_rng(8), AGENT.memory)
    learner, _ = make([batch], config)
    script = learner.replay = Teams([batch], weights)
    learner.target.load(0, Exact(AGENT, learner.agent.phrasebook, seed=5).state_dict())
    online, target = (q_values(agent, batch) for agent in (learner.agent, learner.target))
    loss, sizes, priorities, step = 0.0, [], [], 0
    for weight, (turns, ended) in zip(weights, TEAMS, strict=True):
        starts = step + np.cumsum([0, *turns[:-1]])
        step += sum(turns)
        rounds = turns[0] if ended else min(turns)
        errors = []
        for k in range(rounds if ended else rounds - 1):

            def seats(k: int, starts: Any = starts, turns: Any = turns) -> list[int]:
                return [start + k for start, n in zip(starts, turns, strict=True) if k < n]

            then = min(k + n_step, rounds if ended else rounds - 1)
            rewards = batch.rewards[starts[0] + k : starts[0] + then]
            goal = sum(0.9**i * float(r) for i, r in enumerate(rewards))
            if then < rounds:
                best = sum(float(target[t][online[t].argmax()]) for t in seats(then))
                goal += 0.9 ** (then - k) * best
            total = sum(float(online[t][batch.actions[t]]) for t in seats(k))
            errors.append(abs(total - goal))
        loss += float(weight) * sum(map(huber, errors)) / batch.steps
        sizes += errors
        mean = sum(errors) / max(len(errors), 1)
        priorities.append(0.9 * max(errors, default=0) + 0.1 * mean)
    metrics = learner.update()
    assert metrics["loss"] == pytest.approx(loss, rel=1e-4)
    assert metrics["td_error"] == pytest.approx(np.mean(sizes), rel=1e-4)
    np.testing.assert_allclose(script.priorities[0], priorities, rtol=1e-3, atol=1e-5)
    assert learner.update()["loss"] != metrics["loss"]


def test_vdn_finds_what_each_seat_is_worth() -> None:
    """Two seats, a reward for the first's right choice and twice that for the second's."""
    rng = np.random.default_rng(1)
    batch = bandit(rng, 128, AGENT.memory)
    batch.seat = np.tile(np.array([0, 1], np.int8), 64)
    right = batch.rewards.copy()
    batch.rewards[::2] = right[::2] + 2 * right[1::2]
    batch.rewards[1::2] = 2 * right[1::2]  # the same points again, which are not to count twice
    config = replace(CONFIG, batch=64, learning_rate=3e-3, mixing="vdn")

    class Pairs(Script):
        def sample(self, n: int) -> Sample:
            return Sample(np.arange(64), np.ones(64, np.float32), self.batches[0])

    # A fact that tells the seats apart.
    facts = np.stack([batch.facts, 2 + np.arange(128) % 2], 1).astype(np.int16)
    batch = replace(batch, facts=facts.ravel(), fact_counts=np.full(128, 2, np.int16))
    learner, _ = make([batch], config)
    learner.replay = Pairs([batch])
    for _ in range(300):
        learner.update()
    q = np.array(q_values(learner.agent, batch))
    gaps = q.max(1) - np.median(q, 1)
    assert gaps[::2] == pytest.approx(1, abs=0.25)
    assert gaps[1::2] == pytest.approx(2, abs=0.25)
    best = q.max(1)
    assert best[::2] + best[1::2] == pytest.approx(3, abs=0.3)


def text_gradient(learner: Learner, batches: list[Episodes]) -> list[torch.Tensor]:
    """Of the mean loss of some batches, through the whole network at once."""
    total = [torch.zeros_like(p) for p in learner.text.parameters]
    for episodes in batches:
        # No leaf: gradients run on into the text.
        tables = learner.agent.tables(learner.agent.embed())
        returned = n_step(
            episodes.lengths, episodes.terminal, episodes.rewards, episodes.elapsed, episodes.fresh,
            n=learner.config.n_step, gamma=learner.config.gamma, burn_in=learner.config.burn_in,
        )  # fmt: skip
        batch = Batch(episodes, learner.agent)
        q, _ = forward(learner.agent, tables, batch)
        with torch.no_grad():
            target_q, _ = forward(learner.target, learner.target.current(), batch)
            successor = torch.from_numpy(returned.successor)
            best = q.argmax(1)[successor]
            goal = (
                torch.from_numpy(returned.rewards)
                + torch.from_numpy(returned.discount) * (target_q[successor, best])
            )
        taken = q[torch.arange(len(q)), batch.actions]
        losses = torch.nn.functional.huber_loss(taken, goal, reduction="none")
        loss = losses[torch.from_numpy(returned.learned)].sum() / episodes.steps
        gradient = torch.autograd.grad(loss, learner.text.parameters, allow_unused=True)
        for mean, part in zip(total, gradient, strict=True):
            mean += 0 if part is None else part / len(batches)
    return total


@pytest.mark.parametrize("refresh", [1, 3])
@pytest.mark.parametrize("encoder", ["phrases", "vector", "paragraph"])
def test_text_learns_from_the_mean_gradient(refresh: int, encoder: str) -> None:
    """Between refreshes gradients are collected; text then steps by what backpropagation gives."""
    if encoder == "paragraph" and refresh > 1:
        pytest.skip("paragraphs are read anew at every update")
    agent = replace(AGENT, encoder=encoder)  # type: ignore[type-var]
    config = replace(CONFIG, refresh_interval=refresh, clip=1e9)
    reference, script = make(config=config, agent=agent)
    expected = text_gradient(reference, script.batches[:refresh])
    learner, _ = make(config=config, agent=agent)
    # Plain steps of size 1 show the gradient; the rest of the network stands still.
    learner.optimiser = torch.optim.SGD(learner.network, lr=0.0)
    learner.text.optimiser = torch.optim.SGD(learner.text.parameters, lr=1.0)
    before = [p.detach().clone() for p in learner.text.parameters]
    for i in range(refresh):
        assert all(
            torch.equal(a, b) for a, b in zip(before, learner.text.parameters, strict=True)
        ), i
        learner.update()
    moved = 0
    for a, b, gradient in zip(before, learner.text.parameters, expected, strict=True):
        torch.testing.assert_close(a - b, gradient, atol=1e-4, rtol=1e-2)
        moved += int((gradient.abs() > 1e-3).sum())
    assert moved > 50


def test_text_that_is_frozen_stays_as_it_is() -> None:
    player = Exact(AGENT, make_book(), seed=1)
    player.admit(range(FACTS), range(FACTS, FACTS + CHOICES))
    player.reader.requires_grad_(False)
    before = {name: p.clone() for name, p in player.reader.named_parameters()}
    batch = random_episodes(np.random.default_rng(1), LENGTHS, player.memory_size)
    learner = Learner(player, Script([batch]), LocalWeights(), CONFIG)
    losses = [learner.update()["loss"] for _ in range(30)]
    assert losses[-1] < losses[0]
    for name, parameter in player.reader.named_parameters():
        assert torch.equal(parameter, before[name])


def test_gradients_are_clipped() -> None:
    learner, _ = make(config=replace(CONFIG, clip=1e-3))
    learner.optimiser = torch.optim.SGD(learner.network, lr=1.0)
    before = [p.detach().clone() for p in learner.network]
    metrics = learner.update()
    norm = metrics["gradient_norm"]
    assert norm > 0.03, "the norm is that before clipping"
    assert metrics["clipped"] == 1
    assert make(config=replace(CONFIG, clip=1e3))[0].update()["clipped"] == 0
    step = sum(
        (a - b).detach().square().sum().item() for a, b in zip(before, learner.network, strict=True)
    )
    assert step**0.5 == pytest.approx(1e-3, rel=0.01)


def test_target_and_publications_come_at_their_time() -> None:
    learner, _ = make(config=replace(CONFIG, target_interval=4, publish_interval=3))
    start = {name: p.clone() for name, p in learner.agent.state_dict().items()}
    name = "network.query.weight"
    for update in range(1, 10):
        learner.update()
        now = learner.agent.state_dict()[name]
        target = learner.target.state_dict()[name]
        assert torch.equal(target, now) == (update % 4 == 0)
        if update < 4:
            assert torch.equal(target, start[name])
        version, tensors = learner.weights.latest()
        assert version == update - update % 3
        assert torch.equal(tensors[name], now) == (update % 3 == 0)
    expected = by_hand(learner, learner.replay.batches[0], np.ones(6, np.float32))  # type: ignore[attr-defined]
    assert learner.update()["loss"] == pytest.approx(expected[0], rel=1e-3)


def test_staleness_is_how_old_the_weights_were_that_acted() -> None:
    learner, script = make(config=replace(CONFIG, publish_interval=1))
    for batch in script.batches:
        batch.version[:] = 0
    assert learner.update()["staleness"] == 0
    assert learner.update()["staleness"] == 1
    script.batches[2].version[:] = [0, 0, 0, 2, 2, 2]
    assert learner.update()["staleness"] == 1


def test_the_running_mean_plays_with_tables_of_its_own() -> None:
    """What is evaluated is what is saved, also after it has acted and moved on."""
    learner, _ = make(config=replace(CONFIG, publish_interval=1, learning_rate=1e-2))
    seen = Observations(
        np.array([[0, 3, PAD]], np.int16),
        np.array([2], np.int16),
        np.array([[FACTS, FACTS + 1]], np.int16),
        np.array([2], np.int16),
    )
    memory = np.zeros((1, learner.agent.memory_size), np.float32)
    answers = []
    for _ in range(4):
        learner.update()
        _, q, _ = learner.averaged().act(seen, memory)
        fresh = Exact(AGENT, learner.agent.phrasebook, seed=9)
        fresh.load(0, learner.state()["average"])
        np.testing.assert_allclose(q, fresh.act(seen, memory)[1], atol=1e-4)
        answers.append(q)
    assert not np.array_equal(answers[0], answers[-1])


def test_the_running_mean_is_one() -> None:
    """Of the published weights: a plain mean at first, with a longer and longer memory."""
    learner, _ = make(config=replace(CONFIG, publish_interval=2, average=0.015, learning_rate=1e-2))
    name = "network.query.weight"
    mean = learner.agent.state_dict()[name].clone()
    for update in range(1, 9):
        learner.update()
        if update % 2 == 0:
            keep = min(0.015, update / (update + 100))
            mean = keep * mean + (1 - keep) * learner.agent.state_dict()[name]
        torch.testing.assert_close(learner.average.agent.state_dict()[name], mean)


@pytest.mark.parametrize("encoder", ["phrases", "vector", "paragraph"])
def test_a_saved_learner_continues_bit_for_bit(tmp_path: Path, encoder: str) -> None:
    """Saved between two refreshes, two targets and two publications; bfloat16 as in training."""
    config = replace(CONFIG, refresh_interval=3, target_interval=5, publish_interval=4)
    agent = replace(AGENT, encoder=encoder, own_hand=True)  # type: ignore[type-var]

    def build(seed: int) -> Learner:
        player = R3D2Agent(agent, make_book(), seed)
        player.admit(range(FACTS), range(FACTS, FACTS + CHOICES), LABELS)
        replay = PrioritisedReplay(
            ReplayConfig(capacity=64, capacity_bytes=1 << 18),
            memory_size=player.memory_size,
            label_size=2,
            seed=seed,
        )
        return Learner(player, replay, LocalWeights(), config)

    one, two = build(1), build(2)
    one.replay.insert(  # type: ignore[union-attr]
        random_episodes(np.random.default_rng(3), LENGTHS * 5, one.agent.memory_size, labels=2)
    )
    for _ in range(7):
        one.update()
    store = CheckpointStore(tmp_path)
    state = {"learner": one.state(), "replay": one.replay.state()}  # type: ignore[attr-defined]
    store.save(7, *flatten(state))
    loaded = unflatten(*store.load())
    two.replay.load_state(loaded["replay"])  # type: ignore[attr-defined]
    two.load_state(loaded["learner"])
    for _ in range(13):
        assert one.update() == two.update()
    ours, theirs = (
        flatten({"learner": x.state(), "replay": x.replay.state()})  # type: ignore[attr-defined]
        for x in (one, two)
    )
    assert ours[1] == theirs[1]
    assert ours[0].keys() == theirs[0].keys()
    for path, tensor in ours[0].items():
        assert np.asarray(tensor).tobytes() == np.asarray(theirs[0][path]).tobytes(), path


def test_phrases_that_turn_up_while_learning_are_learned() -> None:
    """An open phrasebook: the target and the running mean get rows for them too."""
    book = make_book(closed=False)
    learner, script = make(
        config=replace(CONFIG, refresh_interval=2, publish_interval=1), book=book
    )
    learner.update()
    fact, choice = book.intern("the cellar is flooded"), book.intern("I dive into the cellar")
    batch = script.batches[1]
    batch.facts[::3] = fact
    batch.choices[np.r_[0, np.cumsum(batch.choice_counts)[:-1]]] = choice
    script.weights = np.ones(6, np.float32)
    assert fact not in learner.agent.facts.ids
    loss = learner.update()["loss"]
    assert np.isfinite(loss)
    for agent in (learner.agent, learner.target):
        assert agent.facts.ids[-1] == fact
        assert agent.choices.ids[-1] == choice
    script.turn = 1
    expected, _ = by_hand(learner, batch, np.ones(6, np.float32))
    assert learner.update()["loss"] == pytest.approx(expected, rel=1e-3)
    assert np.isfinite(q_values(learner.average.agent, batch)[0]).all()
