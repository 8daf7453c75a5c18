"""Worlds drawn from what a seat may believe: how likely they are, and that they may be so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import combinations, permutations
from typing import Any

import numpy as np
import pytest
from scipy import stats

from games.hanabi import HanabiBatched, HanabiConfig, configure
from games.hanabi.phrases import BLOCKS
from games.hanabi.rules import MAX_COLOURS, MAX_RANKS

DRAWS = 10_000
SETTINGS = {
    "2p": configure(players=2),
    "3p": configure(players=3, random_first_player=True),
    "4p": configure(players=4),
    "5p": configure(players=5, bomb="keep"),
    "small": configure("small"),
    "odd": HanabiConfig(3, colours=4, ranks=3, hand_size=7, information_tokens=5, life_tokens=6),
    "no-deck": HanabiConfig(2, hand_size=25, life_tokens=50),
}
each_setting = pytest.mark.parametrize("config", SETTINGS.values(), ids=SETTINGS.keys())
# Hands small enough that all of them can be listed, and many hints.
SMALL = {
    "2p": HanabiConfig(2, colours=3, ranks=2, hand_size=3, information_tokens=20, life_tokens=9),
    "3p": HanabiConfig(3, colours=3, ranks=3, hand_size=3, information_tokens=20, life_tokens=9),
    "2p-4": HanabiConfig(2, colours=3, ranks=2, hand_size=4, information_tokens=20, life_tokens=9),
}
each_small = pytest.mark.parametrize("config", SMALL.values(), ids=SMALL.keys())


def played(config: HanabiConfig, num_games: int, turns: int, seed: int = 0) -> HanabiBatched:
    """Games after some random moves, at least every second one a hint; the finished ones stay."""
    batch = HanabiBatched(config, num_games, seed, restart=False)
    rng = np.random.default_rng(seed)
    for _ in range(turns):
        counts = batch.choice_counts
        moves = (rng.random(len(counts)) * counts).astype(np.int64)
        hints = batch.choices >= BLOCKS["TELL_COLOUR"].base
        told = hints.any(1) & (rng.random(len(counts)) < 0.5)
        some = (hints * rng.random(hints.shape)).argmax(1)
        batch.step(np.where(told, some, moves))
    return batch


def seeds(count: int, first: int = 0) -> np.ndarray:
    return np.arange(first, first + count, dtype=np.uint64)


def own(state: dict[str, Any], config: HanabiConfig, i: int, seat: int) -> slice:
    """Where the cards of a seat's hand lie."""
    return slice(seat * config.hand, seat * config.hand + int(state["sizes"][i, seat]))


def hidden(state: dict[str, Any], config: HanabiConfig, i: int, seat: int) -> list[int]:
    """The seat's hand and the deck: what it cannot see, worked out from what it sees."""
    left = Counter(
        {
            MAX_RANKS * colour + rank: config.copies(rank)
            for colour in range(config.colours)
            for rank in range(config.ranks)
        }
    )
    left.subtract(dict(enumerate(state["discards"][i].tolist())))
    for colour, height in enumerate(state["fireworks"][i].tolist()):
        left.subtract(MAX_RANKS * colour + rank for rank in range(height))
    for other in set(range(config.players)) - {seat}:
        left.subtract(state["cards"][i, own(state, config, i, other)].tolist())
    return sorted(left.elements())


def allowed(state: dict[str, Any], config: HanabiConfig, i: int, seat: int) -> list[set[int]]:
    """For each card of the hand, what hints leave possible."""
    cards = own(state, config, i, seat)
    masks = zip(state["colours"][i, cards], state["ranks"][i, cards], strict=True)
    return [
        {
            MAX_RANKS * colour + rank
            for colour in range(MAX_COLOURS)
            for rank in range(MAX_RANKS)
            if colours >> colour & 1 and ranks >> rank & 1
        }
        for colours, ranks in masks
    ]


def chances(pool: list[int], slots: list[set[int]], more: int) -> dict[tuple[int, ...], float]:
    """How likely each hand is, with so many of the next cards, all orders of the pool alike."""
    found: Counter[tuple[int, ...]] = Counter()
    for order in permutations(pool, len(slots) + more):
        found[order] += all(card in slot for card, slot in zip(order, slots, strict=False))
    total = found.total()
    return {order: count / total for order, count in found.items() if count}


def p_value(drawn: Iterable[tuple[int, ...]], expected: dict[tuple[int, ...], float]) -> float:
    """Of Pearson's test that draws follow the expected chances; rare outcomes are one."""
    counts = Counter(drawn)
    assert counts.keys() <= expected.keys(), "a world that cannot be"
    total = counts.total()
    often = [each for each, chance in expected.items() if chance * total >= 5]
    observed = np.array([counts[each] for each in often], float)
    hoped = np.array([expected[each] for each in often]) * total
    rest = total - hoped.sum()
    if rest >= 5:
        observed, hoped = np.append(observed, total - observed.sum()), np.append(hoped, rest)
    elif rest > 1e-6:
        hoped *= observed.sum() / hoped.sum()
    return 1.0 if len(hoped) == 1 else float(stats.chisquare(observed, hoped).pvalue)


def draws(batch: HanabiBatched, i: int, seat: int, more: int) -> list[tuple[int, ...]]:
    """Hands and so many of the next cards, of many worlds of one game."""
    state = batch.worlds(seat, seeds(DRAWS), games=np.full(DRAWS, i)).state()
    cards = state["cards"][:, own(state, batch.config, 0, seat)]
    start = int(state["drawn"][0])
    following = state["deck"][:, start : start + more]
    return list(map(tuple, np.hstack([cards, following]).tolist()))


def most_first(pool: list[int], slots: list[set[int]]) -> dict[tuple[int, ...], float]:
    """How likely each hand would be, were slots with the most candidates to draw first."""
    order = sorted(range(len(slots)), key=lambda slot: -sum(card in slots[slot] for card in pool))
    found: dict[tuple[int, ...], float] = {(): 1.0}
    for slot in order:
        longer: dict[tuple[int, ...], float] = {}
        for hand, chance in found.items():
            left = Counter(pool)
            left.subtract(hand)
            mass = sum(left[card] for card in slots[slot])
            for card in slots[slot]:
                if left[card] > 0:
                    longer[*hand, card] = chance * left[card] / mass
        found = longer
    places = [order.index(slot) for slot in range(len(slots))]
    total = sum(found.values())  # less than 1 where a hand could not be filled
    return {
        tuple(hand[place] for place in places): chance / total for hand, chance in found.items()
    }


@each_small
def test_hands_and_next_cards_are_as_likely_as_enumeration_says(config: HanabiConfig) -> None:
    """After several histories; and the test would see slots draw in another order."""
    tested, worst, told_apart = 0, 1.0, 0
    for turns in (0, 3, 5, 7, 9):
        batch = played(config, 4, turns, seed=turns)
        state = batch.state()
        for i in range(4):
            seat = (turns + i) % config.players
            pool, slots = (known(state, config, i, seat) for known in (hidden, allowed))
            more = min(1, len(pool) - len(slots))
            found = draws(batch, i, seat, more)
            worst = min(worst, p_value(found, chances(pool, slots, more)))
            tested += 1
            hands = [each[: len(slots)] for each in found]
            told_apart += p_value(hands, most_first(pool, slots)) < 1e-6
    assert worst > 1e-3 / tested
    assert told_apart > 0


def test_whole_decks_are_as_likely_as_enumeration_says() -> None:
    """Hand and order of all that is left, one colour: nothing of a world is left untested."""
    config = configure("very-small", information_tokens=9, life_tokens=9)
    for turns in (0, 4, 6):
        batch = played(config, 1, turns, seed=turns)
        state = batch.state()
        pool, slots = (known(state, config, 0, 1) for known in (hidden, allowed))
        more = len(pool) - len(slots)
        assert more > 1
        assert p_value(draws(batch, 0, 1, more), chances(pool, slots, more)) > 1e-3


@each_setting
def test_what_two_cards_of_a_hand_can_be_overlaps_wholly_or_not_at_all(
    config: HanabiConfig,
) -> None:
    """On this rests that one draw, fewest candidates first, is exact."""
    nested = disjoint = 0
    for turns in range(0, 60, 6):
        state = played(config, 8, turns, seed=turns).state()
        for i in range(8):
            for seat in range(config.players):
                slots = allowed(state, config, i, seat)
                for older, younger in combinations(slots, 2):
                    assert older <= younger or not older & younger
                    nested += older < younger
                    disjoint += not older & younger
    assert disjoint > 0
    assert nested > 0 or config.deck_size == config.players * config.hand


@each_setting
def test_worlds_agree_with_all_that_the_seat_knows(config: HanabiConfig) -> None:
    """Cards are conserved, hints stay true, and nothing changes but the hand and the deck."""
    n, changed = 8, 0
    for turns in (0, 10, 30, 60):
        batch = played(config, n, turns, seed=turns)
        before = batch.state()
        for seat in range(config.players):
            worlds = batch.worlds(seat, seeds(n))
            after = worlds.state()
            assert set(before) == set(after)
            for i in range(n):
                cards = own(before, config, i, seat)
                start = int(before["drawn"][i])
                hand = after["cards"][i, cards].tolist()
                deck = after["deck"][i, start : config.deck_size].tolist()
                assert sorted(hand + deck) == hidden(before, config, i, seat)
                slots = allowed(before, config, i, seat)
                assert all(card in slot for card, slot in zip(hand, slots, strict=True))
                changed += hand != before["cards"][i, cards].tolist()
                after["cards"][i, cards] = before["cards"][i, cards]
                after["deck"][i, start : config.deck_size] = before["deck"][
                    i, start : config.deck_size
                ]
            for name, array in before.items():
                assert np.array_equal(array, after[name]), name
            for mine, theirs in zip(batch.observe(seat), worlds.observe(seat), strict=True):
                assert np.array_equal(mine, theirs)
        for name, array in batch.state().items():
            assert np.array_equal(array, before[name]), f"the game itself changed: {name}"
    assert changed > 20


@each_setting
def test_worlds_are_played_on(config: HanabiConfig) -> None:
    """To the end, in the acting seat's own choices, by cards that are there; none starts again."""
    batch = played(config, 8, 5, seed=5)
    worlds, rng = batch.worlds(batch.seat, seeds(8)), np.random.default_rng(0)
    assert np.array_equal(worlds.facts, batch.facts)
    assert np.array_equal(worlds.choices, batch.choices)
    assert worlds.due_seat.tolist() == batch.due_seat.tolist()
    deck = Counter(batch._tables["deck"][: config.deck_size].tolist())
    while len(worlds.due_game):
        moves = (rng.random(len(worlds.due_game)) * worlds.choice_counts).astype(np.int64)
        worlds.step(moves)
        state = worlds.state()
        for i in range(8):
            table = Counter(dict(enumerate(state["discards"][i].tolist())))
            table.update(state["deck"][i, state["drawn"][i] : config.deck_size].tolist())
            for colour, height in enumerate(state["fireworks"][i].tolist()):
                table.update(MAX_RANKS * colour + rank for rank in range(height))
            for seat in range(config.players):
                table.update(state["cards"][i, own(state, config, i, seat)].tolist())
            assert +table == deck


def test_games_that_are_over_have_worlds_in_which_nobody_is_due() -> None:
    batch = played(configure("small"), 32, 10)
    assert 0 < len(batch.due_game) < 32
    worlds = batch.worlds(0, seeds(64), games=np.repeat(np.arange(32), 2))
    due = np.repeat(np.isin(np.arange(32), batch.due_game), 2)
    assert worlds.due_game.tolist() == np.flatnonzero(due).tolist()
    worlds.step(np.zeros(len(worlds.due_game), np.int64))


def test_a_world_depends_on_its_game_seat_and_seed_alone() -> None:
    batch = played(configure(players=3), 16, 12)
    seats = np.arange(16) % 3

    def drawn(worlds: HanabiBatched, order: np.ndarray | None = None) -> list[np.ndarray]:
        state = worlds.state()
        order = np.arange(worlds.num_games) if order is None else order
        return [array[order] for array in state.values()]

    first = drawn(batch.worlds(seats, seeds(16)))
    order = np.random.default_rng(0).permutation(16)
    again = batch.worlds(seats[order], seeds(16)[order], games=order)
    assert all(map(np.array_equal, first, drawn(again, np.argsort(order))))
    others = drawn(batch.worlds(seats, seeds(16, 16)))
    hands = list(batch.state()).index("cards")
    assert (first[hands] != others[hands]).any(1).all()


def test_the_true_cards_do_not_matter() -> None:
    """A world of a world is the world of the game: only what the seat knows decides."""
    batch = played(configure(players=2), 64, 14)
    direct = batch.worlds(0, seeds(64)).state()
    twice = batch.worlds(0, seeds(64, 1000)).worlds(0, seeds(64)).state()
    assert all(np.array_equal(direct[name], twice[name]) for name in direct)


def test_a_world_is_not_drawn_with_the_numbers_that_shuffled_the_deck() -> None:
    """Seeds of worlds may be those of the games: no card drawn tells of any in the true deck."""
    n = 2000
    batch = HanabiBatched(configure(players=2), n, seed=0)
    true, drawn = batch.state()["deck"], batch.worlds(0, seeds(n)).state()["cards"][:, :5]
    same = (drawn[:, :, None] == true[:, None, :]).mean(0)  # [slot, place in the deck]
    assert same.max() < 0.08  # by chance 1 in 23


@pytest.mark.parametrize(
    ("colours", "ranks"),
    [([1, 1, 1], [16, 16, 16]), ([1, 31, 31], [31, 1, 31])],
    ids=["three red fives", "red beside one, though every hint tells of all cards"],
)
def test_hints_that_cannot_be_are_an_error(colours: list[int], ranks: list[int]) -> None:
    batch = HanabiBatched(configure(players=2), 4)
    state = batch.state()
    state["colours"][2, :3], state["ranks"][2, :3] = colours, ranks
    batch.load_state(state)
    with pytest.raises(ValueError, match="hints of game 2 contradict its cards or one another"):
        batch.worlds(0, seeds(4))
    assert batch.worlds(1, seeds(4)).num_games == 4


def test_bad_arguments_are_named() -> None:
    batch = HanabiBatched(configure(players=3), 4)
    for arguments, message in (
        ((3, seeds(4)), "seats must be from 0 to 2, got 3"),
        (([0, 1, -1, 0], seeds(4)), "seats must be from 0 to 2, got -1"),
        ((0.0, seeds(4)), r"seats must be an integer or integers \[4\], got float64"),
        (([0, 1], seeds(4)), r"seats must be an integer or integers \[4\]"),
        ((0, seeds(3)), r"seeds must have shape \(4,\), got \(3,\)"),
        ((0, seeds(2), np.array([0, 4])), "games must be from 0 to 3, got 4"),
        ((0, seeds(0), np.zeros(0, np.int64)), r"games must be integers \[M\]"),
    ):
        with pytest.raises(ValueError, match=message):
            batch.worlds(*arguments)  # type: ignore[arg-type]
