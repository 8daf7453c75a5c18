"""The fast view says what the facts say, and undoing moves gives the tables that were."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from games.hanabi import HanabiBatched, HanabiConfig, configure
from games.hanabi.decode import Kind, decode
from games.hanabi.rules import MAX_COLOURS, MAX_RANKS
from games.hanabi.view import (
    DISCARD,
    HIDDEN,
    HINT,
    NO_MOVE,
    PLAY,
    TABLE,
    discard_choice,
    hint_choice,
    play_choice,
    rewind,
    views,
)
from games.text import PAD
from tests.games.test_hanabi_engine import random_moves

SETTINGS = {
    "2p": configure(players=2),
    "3p": configure(players=3, random_first_player=True),
    "5p": configure(players=5),
    "small": configure("small"),
    "odd": HanabiConfig(3, colours=4, ranks=3, hand_size=7, information_tokens=5, life_tokens=6),
    "no-deck": HanabiConfig(2, hand_size=25, life_tokens=50),
}
each_setting = pytest.mark.parametrize("config", SETTINGS.values(), ids=SETTINGS.keys())
KINDS = {
    Kind.DISCARD: DISCARD,
    Kind.PLAY: PLAY,
    Kind.TELL_COLOUR: HINT,
    Kind.TELL_RANK: HINT,
}


def view_of(batch: HanabiBatched) -> np.ndarray:
    return views(batch.facts, batch.fact_counts, batch.choices, batch.choice_counts)


def bits(possible: np.ndarray) -> int:
    return int((possible << np.arange(len(possible))).sum())


def check(view: Any, facts: np.ndarray, own_size: int) -> None:
    """Asserts that a record says what ``decode`` reads from the same facts."""
    other = decode(facts)
    assert (view["players"], view["hand"]) == (other.players, other.hand_size)
    assert (view["colours"], view["ranks"]) == (other.colours, other.ranks)
    assert (view["max_tokens"], view["max_lives"]) == (other.max_tokens, other.max_lives)
    assert (view["tokens"], view["lives"], view["deck"]) == (other.tokens, other.lives, other.deck)
    turns_left = other.players if other.turns_left is None else other.turns_left
    assert view["turns_left"] == turns_left
    assert view["fireworks"][: other.colours].tolist() == other.fireworks
    discards = view["discards"].reshape(MAX_COLOURS, MAX_RANKS)
    assert np.array_equal(discards[: other.colours, : other.ranks], other.discards)
    for seat in range(other.players):
        size = int(view["sizes"][seat])
        held = [divmod(int(card), MAX_RANKS) for card in view["cards"][seat, :size]]
        if seat:
            assert held == other.hands[seat]
        else:
            assert size == own_size
            assert (view["cards"][0] == HIDDEN).all()
        for slot in range(size):
            colours, ranks = other.possible_colours[seat, slot], other.possible_ranks[seat, slot]
            assert view["colour_bits"][seat, slot] == bits(colours)
            assert view["rank_bits"][seat, slot] == bits(ranks)
        event = other.events[seat]
        if event is None:
            assert view["kind"][seat] == NO_MOVE
            continue
        assert view["kind"][seat] == KINDS[event.move.kind]
        if view["kind"][seat] == HINT:
            by_rank = event.move.kind is Kind.TELL_RANK
            assert view["target"][seat] == event.move.target
            assert view["hint"][seat] == event.move.value + MAX_COLOURS * by_rank
            assert view["touched"][seat] == sum(1 << slot for slot in event.touched)
        else:
            assert view["slot"][seat] == event.move.slot
            assert divmod(int(view["card"][seat]), MAX_RANKS) == event.card
            assert view["outcome"][seat] == event.outcome


@each_setting
def test_it_says_what_the_facts_say_in_any_order(config: HanabiConfig) -> None:
    batch, rng = HanabiBatched(config, 32, seed=3), np.random.default_rng(0)
    for _ in range(70):
        state, found = batch.state(), view_of(batch)
        shuffled = batch.facts.copy()
        for i in range(32):
            row = shuffled[i, : batch.fact_counts[i]]
            rng.shuffle(row)
        again = views(shuffled, batch.fact_counts, batch.choices, batch.choice_counts)
        assert found.tobytes() == again.tobytes()
        for i in range(0, 32, 4):
            check(found[i], batch.facts[i], int(state["sizes"][i, batch.seat[i]]))
        batch.step(random_moves(batch, rng))


def check_table(
    table: Any, then: dict[str, Any], i: int, viewer: int, mover: int, config: HanabiConfig
) -> None:
    """Asserts that a table is what the engine's state was, as far as the viewer can know."""
    was = {name: array[i] for name, array in then.items()}
    deck = config.deck_size - int(was["drawn"])
    assert (table["tokens"], table["lives"], table["deck"]) == (was["tokens"], was["lives"], deck)
    assert table["turns_left"] == (was["turns_left"] if deck == 0 else config.players)
    assert np.array_equal(table["fireworks"], was["fireworks"])
    assert np.array_equal(table["discards"], was["discards"])
    for offset in range(config.players):
        seat = (viewer + offset) % config.players
        size, first = int(was["sizes"][seat]), seat * config.hand
        assert table["sizes"][offset] == size
        held = table["cards"][offset, :size]
        true = was["cards"][first : first + size]
        known = held != HIDDEN
        assert np.array_equal(held[known], true[known])
        # Of my own hand I know a card that I have played or discarded since, and no other.
        assert known.sum() == (size if offset else (mover == 0 and was["parted"]))


@each_setting
def test_rewinding_gives_the_tables_that_were(config: HanabiConfig) -> None:
    n, players = 16, config.players
    config = replace(config, life_tokens=6)  # random play is over too soon with three
    batch, rng = HanabiBatched(config, n, seed=9), np.random.default_rng(1)
    history: list[dict[str, Any]] = []  # the state before each move
    for _ in range(90):
        now, found = batch.state(), view_of(batch)
        for i in range(n):
            moved = min(int(now["turn"][i]), players)
            tokens = config.information_tokens
            if moved == players:
                tokens = int(history[-players]["tokens"][i])
            tables = np.zeros(6, TABLE)
            assert rewind(found[i], tokens, tables) == players - moved
            viewer = int(batch.seat[i])
            check_table(tables[players], {**now, "parted": np.zeros(n)}, i, viewer, players, config)
            for back in range(1, moved + 1):
                mover = players - back
                check_table(tables[mover], history[-back], i, viewer, mover, config)
        moves = random_moves(batch, rng)
        batch.step(moves)
        # Whether the seat parted with a card, by its latest move.
        seats = now["seat"].astype(int)
        kinds = batch.state()["kind"][np.arange(n), seats]
        history.append({**now, "parted": (kinds == DISCARD) | (kinds == PLAY)})


def test_choices_are_those_of_the_phrasebook() -> None:
    book = HanabiBatched.phrasebook
    said = [
        discard_choice(0),
        play_choice(4),
        hint_choice(1, 2),
        hint_choice(4, MAX_COLOURS + 2),
    ]
    assert book.render(said) == [
        "I discard card 1",
        "I play card 5",
        "I tell partner A which cards are green",
        "I tell partner D which cards are rank three",
    ]


def test_other_facts_are_refused() -> None:
    batch = HanabiBatched(configure(), 3)
    facts = batch.facts.copy()
    facts[1, 4] = batch.choices[1, 0]
    with pytest.raises(ValueError, match="row 1 holds no facts of a game of Hanabi"):
        views(facts, batch.fact_counts, batch.choices, batch.choice_counts)
    facts[1] = PAD
    with pytest.raises(ValueError, match="row 0"):
        views(facts, np.zeros_like(batch.fact_counts), batch.choices, batch.choice_counts)
