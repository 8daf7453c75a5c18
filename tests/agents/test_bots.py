"""Rule-based players: their scores, and what every player must keep to."""

from __future__ import annotations

import time

import numpy as np
import pytest

import games
from agents.bots import NAMES, Bot, knowledge, make, sieve_marks, value
from agents.core import Observations
from games.hanabi import HanabiBatched, HanabiConfig, configure
from games.hanabi.rules import MAX_RANKS
from marl.acting.evaluate import evaluate
from marl.acting.table import play
from tests.agents.bots_table import observations
from tests.games.test_hanabi_engine import Tracker, hidden_deal

# Mean scores over 1000 games or more (docs/bots.md), points kept, by the number of players.
SCORES = {
    "iggi": (16.9, 15.7, 14.9, 13.3),
    "piers": (17.2, 16.9, 16.3, 15.4),
    "van-den-bergh": (14.6, 17.2, 16.7, 15.7),
    "outer": (13.9, 15.4, 14.8, 13.4),
    "internal": (10.1, 10.9, 10.3, 9.3),
    "flawed": (1.5, 1.6, 1.8, 2.0),
    "holmes": (21.3, 21.4, 21.0, 19.3),
    "smart": (23.1, 23.4, 22.6, 20.9),
    "information": (21.3, 24.4, 24.8, 24.9),
    "referential-sieve": (22.5, 22.9, 22.7, 21.1),
    "value": (20.4, 21.3, 20.6, 18.8),
}
# The first of them waits for its player to be compiled.
pytestmark = pytest.mark.timeout(600)

BELIEVERS = ("holmes", "smart", "information")
MEMORIES = {
    **dict.fromkeys(BELIEVERS, knowledge.MEMORY),
    "referential-sieve": sieve_marks.MEMORY,
    "value": value.MEMORY,
}


def hanabi(players: int) -> games.Setting:
    return games.setting("hanabi", players=players)


def test_everybody_is_there() -> None:
    assert set(NAMES) == set(SCORES)
    assert list(NAMES) == sorted(NAMES)
    with pytest.raises(ValueError, match="there is no bot 'clever': choose from flawed, holmes"):
        make("clever")


@pytest.mark.parametrize("players", [2, 3, 4, 5])
@pytest.mark.parametrize("name", NAMES)
def test_scores(name: str, players: int) -> None:
    result = evaluate(make(name), hanabi(players), games=200, seed=7)
    expected = SCORES[name][players - 2]
    assert abs(result.mean("points") - expected) < 0.1 + 3 * (result.standard_error("points") or 0)
    if name == "flawed":
        assert result.mean("score") < 0.3
    elif name not in BELIEVERS:
        assert result.mean("lost") < 0.02
    if name in ("information", "referential-sieve"):
        assert result.mean("lost") == 0
    if name in ("referential-sieve", "value"):  # partners that are worth to get on with
        assert result.mean("score") > 18


@pytest.mark.parametrize("name", NAMES)
def test_speed(name: str) -> None:
    bot = make(name)
    evaluate(bot, hanabi(3), games=5, seed=0)  # compiles
    start = time.process_time()
    result = evaluate(bot, hanabi(3), games=300, seed=0)
    assert result.played.turns.sum() / (time.process_time() - start) > 20_000


@pytest.mark.parametrize("name", NAMES)
def test_the_same_wherever_it_stands_and_whenever_it_plays(name: str) -> None:
    first = evaluate(make(name), hanabi(4), games=40, seed=5)
    other = evaluate(make(name), hanabi(4), games=40, seed=5, at_once=7)
    assert first.outcome("points").tobytes() == other.outcome("points").tobytes()
    assert first.played.turns.tobytes() == other.played.turns.tobytes()
    batch, bot = HanabiBatched(configure(players=4), 30, seed=2), make(name)
    memory = np.zeros((30, bot.memory_size), np.float32)
    order = np.random.default_rng(0).permutation(30)
    for _ in range(6):
        seen = observations(batch)
        choices, values, after = bot.act(seen, memory)
        moved, _, moved_after = bot.act(seen[order], memory[order])
        assert np.array_equal(choices[order], moved)
        assert after[order].tobytes() == moved_after.tobytes()
        assert np.array_equal(values.argmax(1), choices)
        there = np.arange(values.shape[1]) < seen.choice_counts[:, None]
        assert np.array_equal(np.isfinite(values), there)
        batch.step(choices)


@pytest.mark.parametrize("players", [2, 3, 5])
@pytest.mark.parametrize("name", NAMES)
def test_hidden_cards_never_change_what_it_does(name: str, players: int) -> None:
    """A game replayed with other hidden cards: the seat that cannot see them acts the same.

    A batch is played by one bot for some turns. Then the cards that one seat cannot see are
    exchanged for others that fit every hint, the same moves are made again, and that seat is asked
    on each of its turns for its choice and its memory.
    """
    n, config = 16, configure(players=players)
    turns = 2 if name == "flawed" else 24  # it does not last
    rng, bot = np.random.default_rng(players), make(name)
    batch = HanabiBatched(config, n, seed=3, restart=False)
    start, tracker = batch.state(), Tracker(batch)
    memory = np.zeros((players, n, bot.memory_size), np.float32)
    history: list[np.ndarray] = []  # ids of the moves
    wanted: list[tuple[np.ndarray, np.ndarray]] = []
    for turn in range(turns):
        seat = turn % players
        choices, _, memory[seat] = bot.act(observations(batch), memory[seat])
        wanted.append((choices, memory[seat].copy()))
        ids = batch.choices[np.arange(n), choices].tolist()
        tracker.step(ids)
        assert not batch.step(choices).terminated.any()
        history.append(np.array(ids))
    played = {**batch.state(), "held": tracker.held()}
    for viewer in range(players):
        decks = np.array([hidden_deal(rng, played, i, viewer, config) for i in range(n)])
        if name != "flawed":
            assert (decks != start["deck"][:, : config.deck_size]).any(1).all()
        other = HanabiBatched(config, n, restart=False)
        other.reset(decks=[[divmod(int(c), MAX_RANKS) for c in deck] for deck in decks])
        recalled = np.zeros((n, bot.memory_size), np.float32)
        for turn, ids in enumerate(history):
            if turn % players == viewer:
                choices, _, recalled = bot.act(observations(other), recalled)
                assert np.array_equal(choices, wanted[turn][0])
                assert recalled.tobytes() == wanted[turn][1].tobytes()
            other.step((other.choices == ids[:, None]).argmax(1))


@pytest.mark.parametrize("players", [2, 3, 4, 5])
@pytest.mark.parametrize("name", BELIEVERS)
def test_beliefs_are_true(name: str, players: int) -> None:
    """Among players of one kind every belief of every seat about every hand holds the truth.

    This fails as soon as two seats draw different conclusions from the same moves.
    """
    config = configure(players=players)
    n, bot = 60, make(name)
    batch = HanabiBatched(config, n, seed=11)
    memory = np.zeros((n, players, bot.memory_size), np.float32)
    everywhere, checked = np.arange(n), 0
    for _ in range(40):
        seat = batch.seat.astype(int)
        choices, _, memory[everywhere, seat] = bot.act(
            observations(batch), memory[everywhere, seat]
        )
        sets = memory[everywhere, seat, -50:].reshape(n, 5, 5, 2).astype(np.int64) @ (1, 1 << 15)
        state = batch.state()
        for offset in range(players):
            owner = (seat + offset) % players
            for slot in range(config.hand):
                there = slot < state["sizes"][everywhere, owner]
                true = state["cards"][everywhere, owner * config.hand + slot]
                assert (sets[:, offset, slot] >> true & 1)[there].all()
                checked += there.sum()
        step = batch.step(choices)
        memory[step.over] = 0
    assert checked > 20_000


SETTINGS = {
    "small": configure("small"),
    "very-small": configure("very-small"),
    "hand-of-4": HanabiConfig(2, hand_size=4, random_first_player=True),
    "few": HanabiConfig(3, colours=3, ranks=4, hand_size=5, information_tokens=2, life_tokens=1),
    "no-hints": HanabiConfig(2, information_tokens=0),
    "no-deck": HanabiConfig(5, colours=4, ranks=3, hand_size=4),
    "one-card": HanabiConfig(4, hand_size=1),
}


@pytest.mark.parametrize("config", SETTINGS.values(), ids=SETTINGS.keys())
@pytest.mark.parametrize("name", NAMES)
def test_any_setting_is_played_to_its_end(name: str, config: HanabiConfig) -> None:
    result = play(HanabiBatched(config, 30), [make(name)])
    assert (result.turns > 0).all()
    assert result.outcome["points"].max() <= config.max_score


@pytest.mark.parametrize("players", [2, 3, 5])
def test_strangers_can_sit_at_one_table(players: int) -> None:
    """Whoever does not keep to a convention breaks beliefs, but nothing else."""
    n, bots = 45, [make(name) for name in NAMES]
    batch, rng = HanabiBatched(configure(players=players), n, seed=1), np.random.default_rng(0)
    sits = rng.integers(len(bots), size=(n, players))
    memory = np.zeros((n, players, max(MEMORIES.values())), np.float32)
    everywhere, ended = np.arange(n), 0
    for _ in range(120):
        seat, moves = batch.seat.astype(int), np.zeros(n, np.int64)
        for number, bot in enumerate(bots):
            rows = np.flatnonzero(sits[everywhere, seat] == number)
            moves[rows], _, memory[rows, seat[rows], : bot.memory_size] = bot.act(
                observations(batch)[rows], memory[rows, seat[rows], : bot.memory_size]
            )
        step = batch.step(moves)
        memory[step.over] = 0
        ended += step.over.sum()
    assert ended >= n


def test_nothing_is_asked_of_no_rows() -> None:
    batch, bot = HanabiBatched(configure(), 4), make("smart")
    none = observations(batch)[np.zeros(0, np.int64)]
    choices, values, memory = bot.act(none, np.zeros((0, bot.memory_size), np.float32))
    assert (choices.shape, memory.shape) == ((0,), (0, bot.memory_size))
    assert values.shape == (0, batch.max_choices)


@pytest.mark.parametrize("name", NAMES)
def test_what_it_cannot_play_is_said(name: str) -> None:
    bot = make(name)
    batch = HanabiBatched(configure(), 2)
    seen = observations(batch)
    wrong = Observations(np.where(seen.facts < 0, seen.facts, seen.choices[0, 0]), *_rest(seen))
    memory = np.zeros((2, bot.memory_size), np.float32)
    with pytest.raises(ValueError, match=f"bot:{name} plays Hanabi, and row 0 holds other facts"):
        bot.act(wrong, memory)
    wide = HanabiBatched(HanabiConfig(2, hand_size=6), 2)
    if name in MEMORIES:
        with pytest.raises(ValueError, match="at most 5 cards in a hand"):
            bot.act(observations(wide), memory)
    else:
        assert bot.act(observations(wide), memory)[0].shape == (2,)


def _rest(seen: Observations) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return seen.fact_counts, seen.choices, seen.choice_counts


def test_a_bot_is_a_policy() -> None:
    for name in NAMES:
        bot = make(name)
        assert isinstance(bot, Bot)
        assert (bot.name, bot.version) == (name, 0)
        assert bot.memory_size == MEMORIES.get(name, 0)
