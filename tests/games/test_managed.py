"""Managers: who is asked what, who is paid, and that all rewards add up."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

import games
from games.core import BatchedGame
from games.deeds import Deed
from games.managed import SCORING, Managed, ManagerConfig
from games.text import Phrasebook
from games.wrapper import Wrapper

LARGE = "I order 1 part from the large supplier"
SMALL = "I order 1 part from the small supplier"
REQUEST = "the manager asks me to order from the large supplier and offers 0.4 for each part"
NOTHING = "the manager asks nothing of me"
LARGE_ORDER = "order from the large supplier and offer 0.4 for each part"


def say(batch: BatchedGame, said: str) -> NDArray[np.int64]:
    """A choice that every due seat makes, with "me" for whoever the manager speaks to."""
    found = [
        [book == said for book in batch.phrasebook.render(row)].index(True) for row in batch.choices
    ]
    return np.array(found)


def tell(batch: BatchedGame, *orders: str) -> None:
    """The manager speaks to all in their order."""
    for order in orders:
        assert (batch.due_seat == batch.num_players - 1).all()
        step = batch.step(say(batch, order))
        assert not step.elapsed.any()
        assert not step.rewards.any()
        assert not step.over.any()


def read(batch: BatchedGame, seat: int, game: int = 0) -> list[str]:
    return batch.phrasebook.render(batch.observe(seat)[0][game])


def at_random(batch: BatchedGame, rng: np.random.Generator) -> NDArray[np.int64]:
    return (rng.random(len(batch.due_game)) * batch.choice_counts).astype(np.int64)


def test_who_follows_is_paid() -> None:
    batch = games.batched("supply-chain:3@manager=incentives@manager_kappa=2", num_games=2)
    plain = games.batched("supply-chain:3", num_games=2)
    assert batch.roles == ("factory",) * 3 + ("manager",)
    tell(
        batch,
        "I ask factory A to order from the large supplier and offer 0.4 for each part",
        "I ask factory B not to order from the small supplier and charge 0.2 for each part",
        "I ask nothing of factory C",
    )
    assert REQUEST in read(batch, 0)
    tax = "the manager asks me not to order from the small supplier and charges 0.2 for each part"
    assert tax in read(batch, 1)
    assert "the manager asks nothing of me" in read(batch, 2)
    assert "factory A is asked to order from the large supplier and offered 0.4 for each part" in (
        read(batch, 3)
    )
    moves = [LARGE, SMALL, SMALL] * 2
    index = [
        batch.phrasebook.render(row).index(move)
        for row, move in zip(batch.choices, moves, strict=True)
    ]
    step, raw = batch.step(np.array(index)), plain.step(np.array(index))
    paid = np.array([0.4, -0.2, 0])
    assert step.elapsed.tolist() == [1, 1]
    assert np.allclose(step.rewards[:, :3], raw.rewards + paid, atol=1e-6)
    assert np.allclose(step.rewards[:, 3], raw.rewards.sum(1) - 2 * 0.6, atol=1e-5)
    assert np.allclose(step.outcome["payments"], 0.4)
    assert np.allclose(step.outcome["taxes"], 0.2)
    assert batch.due_seat.tolist() == [3, 3]  # the manager speaks every round


def test_two_parts_are_paid_twice_and_other_deeds_are_not() -> None:
    name = (
        "supply-chain:2@manager=incentives@room=3@manager_offers=0.3@manager_deeds=large-supplier"
    )
    batch = games.batched(name, num_games=1)
    order = "I ask factory {} to order from the large supplier and offer 0.3 for each part"
    tell(batch, order.format("A"), order.format("B"))
    moves = ("I order 2 parts from the large supplier", "I wait")
    index = [batch.phrasebook.render(r).index(m) for r, m in zip(batch.choices, moves, strict=True)]
    step = batch.step(np.array(index))
    assert step.outcome["payments"][0] == pytest.approx(0.6)
    assert batch.max_payment == pytest.approx(0.9)  # type: ignore[attr-defined]


NAMES = (
    "supply-chain:3@manager=incentives",
    "supply-chain:3@manager=incentives@manager_every=4@manager_kappa=0.5",
    "supply-chain:4@manager=hidden",
    "supply-chain:3@manager=recommendation",
    "supply-chain:3@manager=subsidy",
    "supply-chain:3@manager=shared",
    "supply-chain:3@manager=none",
    "escape-room:3@manager=incentives",
    "prisoners-dilemma@manager=incentives",
    "stag-hunt:3@manager=incentives@manager_every=3",
    "harvest:2@manager=incentives@rounds=20",
    "hanabi:3@manager=incentives@manager_offers=0.5,-0.25@manager_every=2",
    "simple-spread:3@manager=incentives",
    "simple-reference@manager=hidden@manager_offers=0.2",
)


@pytest.mark.parametrize("name", NAMES)
def test_rewards_add_up(name: str) -> None:
    """What is handed out over whole games is what the scores say, and the split is exact."""
    batch = games.batched(name, num_games=16, seed=5)
    assert isinstance(batch, Managed)
    agents, kappa = batch.agents, batch.config.kappa
    rng, earned, ended = np.random.default_rng(0), np.zeros((16, batch.num_players)), 0
    largest = 0.0
    for _ in range(500):
        step = batch.step(at_random(batch, rng))
        earned += step.rewards
        score = step.outcome
        assert tuple(score)[: len(SCORING)] == SCORING
        assert np.allclose(score["agents"], earned[:, :agents].sum(1), atol=1e-3)
        if batch.num_players > agents:
            assert np.allclose(score["manager"], earned[:, agents], atol=1e-3)
        paid = score["payments"] + score["taxes"]
        assert np.allclose(score["manager"], score["raw"] - kappa * paid, atol=1e-3)
        transfers = score["payments"] - score["taxes"]
        if batch.config.manager == "shared":
            assert not paid.any()
        assert np.allclose(score["agents"], score["raw"] + transfers, atol=1e-3)
        if "welfare" in score:
            running = ~np.isin(np.arange(16), np.flatnonzero(step.over))
            assert np.allclose(score["welfare"], score["raw"], atol=1e-3) or not running.all()
        largest = max(largest, float(paid.max()))
        earned[step.over] = 0
        ended += step.over.sum()
    assert ended
    silent = batch.config.manager in ("recommendation", "shared", "none")
    assert (largest == 0) == silent


def test_the_raw_game_is_untouched() -> None:
    """The same moves bring the same raw rewards, with a manager and without."""
    batch = games.batched("harvest:2@manager=incentives@manager_every=3@rounds=10", num_games=9)
    plain, rng = games.batched("harvest:2@rounds=10", num_games=9), np.random.default_rng(1)
    for _ in range(25):
        while (batch.due_seat == 2).any():
            batch.step(at_random(batch, rng))
        assert (batch.choices[:, : plain.max_choices] == plain.choices).all()
        move = at_random(plain, rng)
        step, raw = batch.step(move), plain.step(move)
        assert (step.outcome["welfare"] == raw.outcome["welfare"]).all()
        assert (step.over == raw.over).all()


@pytest.mark.parametrize("every", [1, 3])
def test_the_manager_speaks_every_k_rounds(every: int) -> None:
    """Where all move at once, in a game of turns, and where a choice is a chain of two."""
    chained = "simple-reference@max_cycles=7@chained=true"
    for name, agents, steps in (
        ("stag-hunt:3@rounds=7", 3, 1),
        ("hanabi:3", 3, 3),
        (chained, 2, 2),
    ):
        batch = games.batched(f"{name}@manager=incentives@manager_every={every}", num_games=1)
        rng = np.random.default_rng(0)
        turns, spoken, moves = 0, 0, 0
        for _ in range(60):
            manager = bool(batch.due_seat[0] == agents)
            if manager and spoken % agents == 0:
                assert moves == (turns > 0) * every * steps
                turns, moves = turns + 1, 0
            spoken += manager
            moves += not manager
            step = batch.step(at_random(batch, rng))
            if step.over[0]:
                turns, moves = 0, 0
        assert spoken > 3


def test_what_is_hidden_is_not_read_and_still_paid() -> None:
    batch = games.batched("supply-chain:2@manager=hidden", num_games=1)
    order = "I ask factory {} to order from the large supplier and offer 0.4 for each part"
    tell(batch, order.format("A"), order.format("B"))
    assert not [fact for fact in read(batch, 0) if "manager" in fact]
    step = batch.step(say(batch, LARGE))
    assert step.outcome["payments"][0] == pytest.approx(0.8)


def test_a_recommendation_is_read_and_not_paid() -> None:
    batch = games.batched("supply-chain:2@manager=recommendation", num_games=1)
    assert batch.choice_counts.tolist() == [3]  # nothing, and two suppliers
    order = "I ask factory {} to order from the large supplier"
    tell(batch, order.format("A"), order.format("B"))
    assert "the manager asks me to order from the large supplier" in read(batch, 0)
    assert not batch.step(say(batch, LARGE)).outcome["payments"].any()


def test_a_subsidy_needs_no_seat() -> None:
    batch = games.batched("supply-chain:2@manager=subsidy@manager_offers=0.3", num_games=3)
    assert batch.num_players == 2
    for _ in range(2):
        assert "offers 0.3 for each part" in read(batch, 1)[-1]
        step = batch.step(say(batch, "I wait"))
        assert not step.outcome["payments"].any()
    batch.reset()
    assert np.allclose(batch.step(say(batch, LARGE)).outcome["payments"], 0.6)


def test_a_script_asks_for_what_the_optimum_does() -> None:
    name = "supply-chain:3@periods=6@manager=scripted@manager_offers=0.3"
    batch = games.batched(name, num_games=200, seed=4)
    asked = 0
    for _ in range(12):  # into the second episode
        advice = batch.advice()[batch.due_game, batch.due_seat]
        for row, choice in enumerate(advice.tolist()):
            heard = batch.phrasebook.render(batch.facts[row])[-1]
            does = "large" in batch.phrasebook[choice]
            assert heard == (REQUEST.replace("0.4", "0.3") if does else NOTHING)
            asked += does
        step = batch.step((batch.choices == advice[:, None]).argmax(1))
    assert asked
    assert np.allclose(step.outcome["payments"], 0.3 * step.outcome["dear"], atol=1e-5)
    with pytest.raises(ValueError, match="nobody knows what is best"):
        games.batched("escape-room@manager=scripted", num_games=1)


def test_the_gap_is_measured_between_self_interest_and_the_optimum() -> None:
    batch = games.batched("supply-chain:3@periods=6@manager=none", num_games=8)
    least, most = batch.bounds
    rng = np.random.default_rng(0)
    for _ in range(6):
        step = batch.step(at_random(batch, rng))
    closed = (step.outcome["raw"] - least) / (most - least)
    assert np.allclose(step.outcome["gap"], closed, atol=1e-5)
    assert "gap" not in games.batched("supply-chain:3@plenty@manager=none", 1).scoring


def test_who_was_asked_what_is_counted_until_it_is_told() -> None:
    batch = games.batched("supply-chain:2@manager=incentives@manager_offers=0.4", num_games=4)
    tell(batch, "I ask nothing of factory A", f"I ask factory B to {LARGE_ORDER}")
    told = batch.asked()
    assert told["factory-A/nothing"] == told["factory-B/large-supplier+0.4"] == 1
    assert told["factory-B/nothing"] == 0
    assert batch.asked() == {}


def test_a_shared_reward_is_the_mean() -> None:
    batch = games.batched("escape-room:3@manager=shared", num_games=1)
    there = ["I go to the lever", "I go to the lever", "I go to the door"]
    index = [batch.phrasebook.render(r).index(m) for r, m in zip(batch.choices, there, strict=True)]
    assert np.allclose(batch.step(np.array(index)).rewards, 8 / 3)


def test_a_game_without_deeds_offers_its_choices() -> None:
    batch = games.batched("hanabi:2@manager=incentives@manager_offers=0.5", num_games=1)
    said = batch.phrasebook.render(batch.choices[0])
    assert "I ask player A to play card 1 and offer 0.5" in said
    facts = read(batch, 2)
    assert any(fact.startswith("player A reads: partner A card 1 is") for fact in facts)
    assert any(fact.startswith("player B reads: partner A card 1 is") for fact in facts)
    assert facts[-1] == "I speak to player A now"


class Growing(Wrapper):
    """A game whose phrasebook says one thing more at every step."""

    def __init__(self, game: BatchedGame) -> None:
        super().__init__(game)
        self.phrasebook = Phrasebook(game.phrasebook, closed=False)
        self.max_facts = game.max_facts + 1
        self.deeds, self.overview, self._steps = (), None, 0
        self._show()

    def _show(self) -> None:
        new = self.phrasebook.intern(f"this is step {self._steps}")
        self.fact_phrases = np.append(self.game.fact_phrases, np.int16(new))
        rows = len(self.game.facts)
        self.facts = np.full((rows, self.max_facts), -1, np.int16)
        self.facts[:, :-1] = self.game.facts
        self.facts[np.arange(rows), self.game.fact_counts] = new
        self.fact_counts = self.game.fact_counts + np.int16(1)
        self._new = new

    def observe(self, seat: int) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        facts, counts = self.game.observe(seat)
        out = np.full((len(facts), self.max_facts), -1, np.int16)
        out[:, :-1] = facts
        out[np.arange(len(facts)), counts] = self._new
        return out, counts + np.int16(1)

    def step(self, move_index: NDArray[np.integer]) -> games.Step:
        step = self.game.step(move_index)
        self._steps += 1
        self._show()
        return step


def test_an_open_phrasebook_grows_with_the_game() -> None:
    inner = Growing(games.batched("stag-hunt:2@rounds=6", num_games=2))
    batch, rng = Managed(inner, ManagerConfig()), np.random.default_rng(0)
    for _ in range(12):
        for row, count in zip(batch.facts, batch.fact_counts, strict=True):
            said = batch.phrasebook.render(row)
            assert len(said) == count
            prefix = "hunter A reads: " if batch.due_seat[0] == 2 else ""
            assert f"{prefix}this is step {inner._steps}" in said
            assert np.isin(row[:count], batch.fact_phrases).all()
        batch.step(at_random(batch, rng))
    assert inner._steps == 4
    assert not batch.phrasebook.closed


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("supply-chain@manager=boss", "manager must be one of incentives"),
        ("supply-chain@manager_every=2", "need a manager"),
        ("supply-chain@manager=incentives@manager_every=0", "at least 1"),
        ("supply-chain@manager=incentives@manager_tone=kind", "no option 'tone'"),
        ("supply-chain@manager=incentives@manager_deeds=bow", "no deed 'bow' to ask for"),
        ("supply-chain@manager=subsidy@manager_offers=1,2", "is one offer"),
        ("supply-chain@manager=incentives@manager_kappa=-1", "from 0 up"),
    ],
)
def test_bad_options_are_named(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        games.batched(name, num_games=1)


def test_a_deed_that_no_choice_does_is_refused() -> None:
    game = games.batched("stag-hunt:2", num_games=1)
    game.deeds = (Deed("fly", "fly", {"I fly": 1.0}),)  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="no phrase 'I fly'"):
        Managed(game, ManagerConfig())
    game.deeds = (Deed("a", "wait", {"I hunt hares": 1.0}),) * 2  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="two deeds are named 'a'"):
        Managed(game, ManagerConfig())
    with pytest.raises(ValueError, match="not finite"):
        Deed("a", "wait", {"I wait": 1.0}, offers=(float("nan"),))


def test_all_can_be_told_at_once() -> None:
    name = "supply-chain:3@manager=incentives@manager_together=true@manager_every=2"
    batch = games.batched(name, num_games=3)
    assert "I speak to everybody now" in batch.phrasebook.render(batch.facts[0])
    tell(batch, f"I ask everybody to {LARGE_ORDER}")
    assert batch.asked()["factory-C/large-supplier+0.4"] == 1
    assert all(REQUEST in read(batch, seat) for seat in range(3))
    assert np.allclose(batch.step(say(batch, LARGE)).outcome["payments"], 1.2)
    batch.step(say(batch, "I wait"))
    assert (batch.due_seat == 3).all()
    assert batch.choice_counts.max() == len(batch.asks)


@pytest.mark.parametrize("kind", ["none", "incentives"])
def test_players_may_read_what_they_are_called(kind: str) -> None:
    batch = games.batched(f"supply-chain:3@manager={kind}@manager_named=true", num_games=2)
    plain = games.batched(f"supply-chain:3@manager={kind}", num_games=2)
    for seat, letter in enumerate("ABC"):
        ids, counts = batch.observe(seat)
        read = {batch.phrasebook[int(id)] for id in ids[0, : counts[0]]}
        ids, counts = plain.observe(seat)
        before = {plain.phrasebook[int(id)] for id in ids[0, : counts[0]]}
        assert read - before == {f"I am factory {letter}"}
    while (batch.due_seat == 3).any():
        batch.step(np.zeros(len(batch.due_game), np.int64))
    first = batch.phrasebook.render(batch.facts[1, : batch.fact_counts[1]])
    assert f"I am factory {'ABC'[batch.due_seat[1]]}" in first
