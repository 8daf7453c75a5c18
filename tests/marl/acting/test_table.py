"""The table: who is asked in which words, what they remember, and when they forget it."""

from __future__ import annotations

import copy
import threading
import time
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from agents.core import Observations
from games import PAD, Phrasebook, Setting
from marl.acting import table as tables
from marl.acting.table import StoppedError, Table, observe, observe_as, play, play_many
from marl.runs.roster import load
from tests.marl.lanterns import AFTERGLOW, DEEDS, LIMIT, Lanterns, life, offered

SHUFFLED = Phrasebook(
    np.random.default_rng(0).permutation(["nobody says this", *Lanterns.phrasebook]).tolist()
)
"""The same sentences and one more, in another order."""


@dataclass(frozen=True)
class Asked:
    """One row of one call: what was read, and the memory that came with it."""

    game: int
    seat: int
    round: int
    choices: tuple[str, ...]
    memory: tuple[float, ...]


class Reader:
    """Does what it likes best of what it is offered; it reads sentences, not ids.

    Its memory counts its seat's own turns, and sums up the seat's number and its own.

    Args:
        likes: all deeds, the best first.
        memory_size: numbers that it remembers, 0 to 2.
        phrasebook: whose ids it reads; None for the game's.
        number: added to the memory's second number.
    """

    version = 0

    def __init__(
        self,
        likes: tuple[str, ...] = DEEDS,
        memory_size: int = 2,
        phrasebook: Phrasebook | None = None,
        number: int = 0,
    ) -> None:
        self.likes, self.memory_size, self.number = likes, memory_size, number
        self.phrasebook = phrasebook
        self.asked: list[Asked] = []
        self.calls = 0

    def act(
        self, observations: Observations, memory: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        self.calls += 1
        assert memory.shape == (len(observations), self.memory_size)
        assert memory.dtype == np.float32
        book = Lanterns.phrasebook if self.phrasebook is None else self.phrasebook
        values = np.full(observations.choices.shape, -np.inf, np.float32)
        after = memory.copy()
        for row in range(len(observations)):
            game, seat, round = (
                int(fact.split()[-1]) for fact in book.render(observations.facts[row])
            )
            choices = book.render(observations.choices[row])
            assert len(choices) == observations.choice_counts[row]
            self.asked.append(Asked(game, seat, round, tuple(choices), tuple(memory[row].tolist())))
            values[row, : len(choices)] = [-self.likes.index(choice) for choice in choices]
            after[row] += [1, seat + self.number][: self.memory_size]
        return values.argmax(1), values, after


def readers() -> list[Reader]:
    """Three who like different things, remember differently, and read different books."""
    wait, wave, shout = DEEDS
    return [
        Reader((shout, wave, wait), 2, SHUFFLED, number=100),
        Reader((wave, wait, shout), 1, None),
        Reader((wait, shout, wave), 0, Phrasebook(list(Lanterns.phrasebook))),
    ]


def seatings(num_games: int, players: int, policies: int = 3) -> NDArray[np.int64]:
    return np.random.default_rng(1).integers(policies, size=(num_games, players))


# --- who is asked what ------------------------------------------------------------------------


def test_every_due_seat_is_asked_once_by_whoever_holds_it() -> None:
    policies, seating = readers(), seatings(12, 4)
    table = Table(Lanterns(12, 4, seed=20), policies, seating)
    expected: list[Counter[tuple[int, int, int]]] = [Counter() for _ in policies]
    seeds, rounds = 20 + np.arange(12), np.zeros(12, int)
    for _ in range(9):
        for i in range(12):
            for seat in range(4):
                if rounds[i] < life(seeds[i], seat):
                    expected[seating[i, seat]][int(seeds[i]), seat, int(rounds[i])] += 1
        step = table.step(table.choose().choices)
        rounds += 1
        rounds[step.over] = 0
        seeds[step.over] += 12
    assert (seeds >= 32).all(), "every game has begun again"
    for policy, rows in zip(policies, expected, strict=True):
        assert policy.calls == 9, "all its seats in one call"
        assert Counter((a.game, a.seat, a.round) for a in policy.asked) == rows
        assert set(rows.values()) == {1}


def test_a_turn_tells_whose_it_is() -> None:
    policies, seating = readers(), seatings(6, 3)
    game = Lanterns(6, 3, seed=2)
    table = Table(game, policies, seating)
    for _ in range(7):
        for policy in policies:
            policy.asked.clear()
        turn = table.choose()
        np.testing.assert_array_equal(turn.rows // 3, game.due_game)
        np.testing.assert_array_equal(turn.rows % 3, game.due_seat)
        np.testing.assert_array_equal(turn.holders, seating[game.due_game, game.due_seat])
        said = [iter(policy.asked) for policy in policies]
        for row, holder in enumerate(turn.holders):
            asked, likes = next(said[holder]), policies[holder].likes
            choices = game.phrasebook.render(game.choices[row])
            assert asked.choices == tuple(choices)
            assert choices[turn.choices[row]] == min(choices, key=likes.index)
            values = [-likes.index(choice) for choice in choices]
            assert turn.values[row].tolist() == values + [-np.inf] * (3 - len(choices))
            assert turn.before[row].tolist() == (list(asked.memory) if holder == 0 else [0, 0])
        table.step(turn.choices)


def test_the_first_holds_all_seats_unless_somebody_says() -> None:
    policy, never = Reader(), Reader()
    table = Table(Lanterns(5, 2), [policy, never])
    turn = table.choose()
    assert not turn.holders.any()
    assert len(policy.asked) == len(turn.rows) == 10
    assert never.calls == 0


def test_seats_can_be_given_to_others_when_games_begin() -> None:
    policies = [Reader(), Reader(number=7)]
    table = Table(Lanterns(4, 2), policies, np.zeros((4, 2), np.int64))
    over = np.zeros(4, bool)
    while not over.all():
        step = table.step(table.choose().choices)
        table.seating[step.over] = 1
        over |= step.over
    for policy in policies:
        policy.asked.clear()
    table.choose()
    assert policies[1].asked
    assert all(asked.memory == (0, 0) for asked in policies[1].asked if asked.round == 0)
    assert not any(asked.game < 4 for asked in policies[1].asked)


# --- memory -----------------------------------------------------------------------------------


def test_every_seat_has_a_memory_of_its_own_until_it_ends() -> None:
    """Whoever holds the others, and whenever they end."""
    policies = readers()
    table = Table(Lanterns(15, 5, seed=3), policies, seatings(15, 5))
    for _ in range(12):
        table.step(table.choose().choices)
    for policy in policies:
        assert len({asked.game for asked in policy.asked}) > 20
        for asked in policy.asked:
            full = (asked.round, asked.round * (asked.seat + policy.number))
            assert asked.memory == full[: policy.memory_size]
    assert {asked.round for asked in policies[0].asked} == set(range(LIMIT))


def test_a_seat_that_ends_before_the_others_forgets_at_once() -> None:
    game = Lanterns(1, 3, seed=0)
    assert [life(0, seat) for seat in range(3)] == [1, 3, 5]
    table = Table(game, [Reader(), Reader(number=1)], np.array([[0, 0, 1]]))
    ends = []
    for _ in range(4):
        due, turn = game.due_seat.tolist(), table.choose()
        remembered = [memory[:, 0].copy() for memory in table.memory]
        step = table.step(turn.choices)
        ended = (step.terminated | step.truncated)[0]
        ends.append((due, step.terminated[0].tolist(), step.truncated[0].tolist()))
        for memory, before in zip(table.memory, remembered, strict=True):
            assert memory[:, 0].tolist() == np.where(ended, 0, before).tolist()
    assert ends == [
        ([0, 1, 2], [True, False, False], [False, False, False]),
        ([1, 2], [False, False, False], [False, False, False]),
        ([1, 2], [False, True, False], [False, False, False]),
        ([2], [False, False, False], [False, False, True]),
    ]


def test_a_table_goes_on_from_its_state() -> None:
    def turns(table: Table, n: int) -> list[list[float]]:
        found = []
        for _ in range(n):
            turn = table.choose()
            step = table.step(turn.choices)
            found.append([*turn.rows, *turn.choices, *turn.before.ravel(), *step.rewards.ravel()])
        return found

    one = Table(Lanterns(6, 3, seed=9), readers(), seatings(6, 3))
    turns(one, 5)
    state = copy.deepcopy(one.state())
    expected = turns(one, 7)
    two = Table(Lanterns(6, 3), readers(), np.zeros((6, 3), np.int64))
    two.load_state(state)
    assert turns(two, 7) == expected


# --- words ------------------------------------------------------------------------------------


def test_a_policy_reads_its_own_book() -> None:
    """Who knows the sentences in another order plays the same."""
    played, asked = [], []
    for book in (None, Lanterns.phrasebook, SHUFFLED):
        policy = Reader(tuple(reversed(DEEDS)), phrasebook=book)
        played.append(play(Lanterns(9, 3, seed=5), [policy]))
        asked.append(policy.asked)
    assert asked[0] == asked[1] == asked[2]
    for one in played[1:]:
        np.testing.assert_array_equal(one.returns, played[0].returns)


def test_ids_are_translated_and_padding_is_not() -> None:
    game = Lanterns(8, 2, seed=1)
    seen = observe_as(Reader(phrasebook=SHUFFLED), game)
    assert (game.choices == PAD).any()
    np.testing.assert_array_equal(seen.choices == PAD, game.choices == PAD)
    for row in range(len(seen)):
        for ours, theirs in ((game.facts, seen.facts), (game.choices, seen.choices)):
            assert SHUFFLED.render(theirs[row]) == game.phrasebook.render(ours[row])
    assert (seen.facts != game.facts).any()
    # Who reads the game's own ids is shown the game's own arrays: nothing is copied.
    for book in (None, Lanterns.phrasebook, Phrasebook(list(Lanterns.phrasebook))):
        assert observe_as(Reader(phrasebook=book), game).facts is game.facts


def test_turns_are_told_in_the_words_of_the_table() -> None:
    game = Lanterns(4, 2)
    for book in (None, SHUFFLED):
        turn = Table(
            game, [Reader(), Reader(phrasebook=SHUFFLED)], seatings(4, 2, 2), book
        ).choose()
        for row in range(len(turn.rows)):
            told = (book or game.phrasebook).render(turn.observations.facts[row])
            assert told == game.phrasebook.render(game.facts[row])
            told = (book or game.phrasebook).render(turn.observations.choices[row])
            assert told == game.phrasebook.render(game.choices[row])


def test_who_lacks_a_word_says_which() -> None:
    poor = Phrasebook(phrase for phrase in Lanterns.phrasebook if phrase != "it is round 1")
    table = Table(Lanterns(3, 2, seed=1), [Reader(phrasebook=poor)])
    table.step(table.choose().choices)  # so far nobody has said it
    with pytest.raises(ValueError, match="this player has no word for 'it is round 1'"):
        table.choose()


def test_an_open_book_learns_new_words() -> None:
    book = Phrasebook(["it is round 1"], closed=False)
    policy, known = Reader(phrasebook=book), Reader()
    play(Lanterns(3, 2, seed=1), [policy])
    play(Lanterns(3, 2, seed=1), [known])
    assert policy.asked == known.asked
    assert book[0] == "it is round 1"


# --- games that do not count any more -------------------------------------------------------------


def test_nobody_is_asked_in_games_that_are_not_playing() -> None:
    policies, seating = readers(), seatings(10, 3)
    policies[1].memory_size = 2
    game = Lanterns(10, 3, seed=4)
    table = Table(game, policies, seating)
    playing = np.arange(10) % 3 == 0
    for _ in range(6):
        before = [memory.copy() for memory in table.memory]
        for policy in policies:
            policy.asked.clear()
        turn = table.choose(playing)
        shown = game.facts[:, 0].tolist()
        out = ~playing[game.due_game]
        asked = {(a.game, a.seat) for policy in policies for a in policy.asked}
        seats = game.due_seat.tolist()
        assert asked == {(shown[row], seats[row]) for row in range(len(out)) if not out[row]}
        assert not turn.choices[out].any()
        assert not turn.before[out].any()
        for k, memory in enumerate(table.memory):
            still = np.repeat(~playing, 3)
            np.testing.assert_array_equal(memory[still], before[k][still])
        table.step(turn.choices)
    # Who holds no seat in a game that is played is not called at all.
    alone = [Reader(), Reader()]
    apart = Table(Lanterns(2, 2), alone, np.array([[0, 0], [1, 1]]))
    apart.choose(np.array([True, False]))
    assert (alone[0].calls, alone[1].calls) == (1, 0)
    apart.choose(np.array([False, False]))
    assert (alone[0].calls, alone[1].calls) == (1, 0)


# --- whole games ------------------------------------------------------------------------------


def by_hand(
    policies: list[Reader], holders: NDArray[np.int64], seed: int
) -> tuple[list[float], int, bool]:
    """What each seat earns, how many choices there are, and whether the limit ends the game."""
    lives = [life(seed, seat) for seat in range(len(holders))]
    rounds = min(max(lives), LIMIT)
    earned, choices = [], 0
    for seat, burns in enumerate(lives):
        total = AFTERGLOW * (rounds - min(burns, rounds))
        for round in range(min(burns, rounds)):
            deeds = [DEEDS[deed] for deed in offered(seed, seat, round)]
            total += DEEDS.index(min(deeds, key=policies[holders[seat]].likes.index))
            choices += 1
        earned.append(total)
    return earned, choices, max(lives) > LIMIT


@pytest.mark.parametrize("players", [1, 2, 5])
def test_seats_that_end_apart_come_to_what_they_earned(players: int) -> None:
    policies, seating = readers(), seatings(30, players)
    told: list[int] = []
    played = play(Lanterns(30, players, seed=11), policies, seating, told.append)
    for i in range(30):
        earned, choices, cut = by_hand(policies, seating[i], 11 + i)
        assert played.returns[i].tolist() == earned
        assert played.outcome["earned"][i] == sum(earned)
        assert (played.turns[i], played.truncated[i]) == (choices, cut)
        longest = max(life(11 + i, seat) for seat in range(players))
        assert played.outcome["longest"][i] == min(longest, LIMIT)
    assert played.truncated.any()
    assert (played.truncated.sum() < 30) == (players < 5)
    assert sum(told) == 30
    assert len(told) > 1 or players == 5
    # Nobody is asked in an episode that does not count.
    assert all(11 <= asked.game < 41 for policy in policies for asked in policy.asked)


@pytest.mark.parametrize(
    ("seating", "said"),
    [
        (np.zeros((4, 3), np.int64), r"seating must have shape \(4, 2\), got \(4, 3\)"),
        (np.zeros(4, np.int64), r"seating must have shape \(4, 2\), got \(4,\)"),
        (np.full((4, 2), 2), "seating must name policies from 0 to 1"),
        (np.full((4, 2), -1), "seating must name policies from 0 to 1"),
    ],
)
def test_a_seating_that_does_not_fit_is_refused(seating: NDArray[np.int64], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Table(Lanterns(4, 2), [Reader(), Reader()], seating)


@pytest.mark.parametrize("lanes", [1, 3])
def test_games_can_be_stopped(monkeypatch: pytest.MonkeyPatch, lanes: int) -> None:
    """What is left are the first games, in whole batches: single ones that ended were short."""
    monkeypatch.setattr(tables, "available", lambda: lanes)
    setting, bots = Setting("hanabi", 2), [load("bot:iggi").policy]
    ended: list[int] = []

    def play_some(games: int, most: int) -> tables.Played:
        ended.clear()

        def stop() -> bool:
            return sum(ended) > most

        return play_many(setting, bots, games, 1, at_once=8, on_end=ended.append, stop=stop)

    whole = play_some(80, 80)
    with pytest.raises(StoppedError) as error:
        play_some(80, 41)
    played = error.value.played
    assert played is not None
    assert len(played) % 8 == 0
    assert 40 - 8 * lanes < len(played) <= sum(ended) < 60
    if lanes == 1:
        assert len(played) == 40
    for name, values in played.outcome.items():
        np.testing.assert_array_equal(values, whole.outcome[name][: len(values)])
    np.testing.assert_array_equal(played.turns, whole.turns[: len(played)])
    with pytest.raises(StoppedError, match="after 0 games") as error:
        play_some(80, -1)
    assert error.value.played is None
    assert not ended


def test_nobody_plays_on_after_an_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C is an error in the caller alone: the other lanes are to end as soon as that one."""
    monkeypatch.setattr(tables, "available", lambda: 3)
    choose, steps = Table.choose, Counter[bool]()

    def slow(table: Table, playing: NDArray[np.bool_] | None = None) -> tables.Turn:
        caller = threading.current_thread() is threading.main_thread()
        steps[caller] += 1
        if caller and steps[False] > 5:
            raise KeyboardInterrupt
        time.sleep(0.01)
        return choose(table, playing)

    monkeypatch.setattr(Table, "choose", slow)
    with pytest.raises(KeyboardInterrupt):
        play_many(Setting("hanabi", 2), [load("bot:iggi").policy], 300, 1, at_once=100)
    before = steps[False]
    time.sleep(0.5)
    assert steps[False] <= before + 2


def test_what_is_seen_is_live() -> None:
    game = Lanterns(2, 2)
    seen = observe(game)
    assert seen.facts is game.facts
    assert seen.choices is game.choices
