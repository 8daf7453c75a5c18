"""Each rule, and each convention, on a fixed deck."""

from __future__ import annotations

import numpy as np
import pytest

from agents.bots import make
from agents.bots.rules import Kind, Rule
from agents.bots.simple import RULES, player
from games.hanabi import HanabiBatched
from tests.agents.bots_table import Seats, observations, say, table

pytestmark = pytest.mark.timeout(600)  # the first of them waits for its player to be compiled

NOTHING = "I play card 1"  # what a list does of which no rule has a move


def move(batch: HanabiBatched, *rules: Rule) -> str:
    """What the seat to act does by these rules."""
    bot = player("tried", rules)
    choice, _, _ = bot.act(observations(batch), np.zeros((1, 0), np.float32))
    return batch.phrasebook[int(batch.choices[0, choice[0]])]


def two(mine: str, theirs: str = "r5 y5 g5 w5 b5", **options: int) -> HanabiBatched:
    """A game of two: the hand of the seat that acts first, and its partner's."""
    return table([mine, theirs], hand_size=5, **options)


def test_certain_and_safe() -> None:
    batch = two("r2 y2 g2 w2 b2", "y3 r1 w4 g4 b4")
    say(batch, "I tell partner A which cards are rank one")
    # Every one fits, but only its rank has been told.
    assert move(batch, Rule(Kind.PLAY_CERTAIN)) == NOTHING
    assert move(batch, Rule(Kind.PLAY_SAFE)) == "I play card 2"
    say(batch, "I tell partner A which cards are red", "I tell partner A which cards are red")
    assert move(batch, Rule(Kind.PLAY_CERTAIN)) == "I play card 2"


def test_safe_goes_by_hints_alone() -> None:
    # All copies of all ones but the red ones are in sight, but no hint has said so.
    batch = table(["y1 y1 g1 g1 w1", "r1 r2 r3 r4 r5", "w1 b1 b1 y1 g1"], "w1 b1")
    say(
        batch,
        "I tell partner B which cards are yellow",
        "I tell partner A which cards are rank one",
        "I play card 1",
    )
    # The yellow firework is at one: a yellow one would misfire, though two of three are in sight.
    say(batch, "I tell partner A which cards are red")
    assert move(batch, Rule(Kind.PLAY_SAFE)) == NOTHING


def test_likely() -> None:
    batch = two("y1 y1 y1 y2 y2", "y3 r1 y4 y4 y5", colours=2)
    say(batch, "I tell partner A which cards are red")
    # Three of ten red cards are ones, and none of them is in sight.
    assert move(batch, Rule(Kind.PLAY_LIKELY, chance=0.29)) == "I play card 2"
    assert move(batch, Rule(Kind.PLAY_LIKELY, chance=0.31)) == NOTHING
    assert move(batch, Rule(Kind.PLAY_LIKELY, lives_above=3)) == NOTHING
    assert move(batch, Rule(Kind.PLAY_LIKELY, lives_above=2)) == "I play card 2"
    assert move(batch, Rule(Kind.PLAY_LIKELY, deck_empty=True)) == NOTHING


def test_likely_counts_what_is_in_sight() -> None:
    batch = two("y1 y1 y1 r1 y2", "y3 r1 y4 y4 y5", colours=2)
    say(batch, "I tell partner A which cards are red")
    # Of nine red cards that are not in sight two are ones.
    assert move(batch, Rule(Kind.PLAY_LIKELY, chance=0.22)) == "I play card 2"
    assert move(batch, Rule(Kind.PLAY_LIKELY, chance=0.23)) == NOTHING


def test_useless_cards_are_discarded() -> None:
    batch = two("r1 g2 w2 b2 y3", "g4 w4 r1 y4 b4")
    say(
        batch,
        "I play card 1",
        "I tell partner A which cards are green",
        "I tell partner A which cards are red",
        "I tell partner A which cards are white",
        "I tell partner A which cards are rank one",
    )
    assert move(batch, Rule(Kind.DISCARD_USELESS)) == "I discard card 3"
    assert move(batch, Rule(Kind.DISCARD_LIKELY, chance=1.0)) == "I discard card 3"


def test_cards_above_one_that_is_gone_are_useless() -> None:
    batch = two("r2 r2 w2 b2 y3", "g4 w4 r4 y4 b4")
    say(
        batch,
        "I tell partner A which cards are red",
        "I tell partner A which cards are blue",
        "I discard card 1",
        "I tell partner A which cards are white",
        "I discard card 1",
        "I tell partner A which cards are white",
        "I tell partner A which cards are rank four",
    )
    # Both red twos are gone; card 3 is the red four.
    assert move(batch, Rule(Kind.DISCARD_USELESS)) == "I discard card 3"


def test_discards() -> None:
    batch = two("r2 y2 g2 w2 b2")
    for kind in (Kind.DISCARD_OLDEST, Kind.DISCARD_RANDOM, Kind.DISCARD_LIKELY):
        assert move(batch, Rule(kind)) == NOTHING  # nothing may be discarded with all hints left
    say(batch, "I tell partner A which cards are rank five")
    assert move(batch, Rule(Kind.DISCARD_OLDEST)) == "I discard card 1"
    assert move(batch, Rule(Kind.DISCARD_RANDOM)).startswith("I discard card ")
    say(batch, "I discard card 1")
    # Of what it could be, only the five is never useless; nothing is known of the others either.
    assert move(batch, Rule(Kind.DISCARD_LIKELY, chance=0.01)) == NOTHING
    assert move(batch, Rule(Kind.DISCARD_LIKELY)) == NOTHING  # all hints are back


def test_useful() -> None:
    batch = table(["r2 y2 g2 w2 b2", "r3 g1 y1 w4 b4", "b1 y3 g3 w3 g1"])
    assert move(batch, Rule(Kind.TELL_USEFUL)) == "I tell partner A which cards are rank one"
    say(batch, "I tell partner A which cards are rank one")
    # Seen from partner A, the first card that fits is the blue one of the next player.
    assert move(batch, Rule(Kind.TELL_USEFUL)) == "I tell partner A which cards are rank one"
    say(batch, "I tell partner A which cards are rank one")
    # Its rank is known and its colour is not; that of the other one has just been told.
    say(batch, "I tell partner B which cards are blue")
    assert move(batch, Rule(Kind.TELL_USEFUL)) == "I tell partner A which cards are green"


def test_playable_is_told_again_and_again() -> None:
    batch = two("r2 y2 g2 w2 b2", "r3 g1 y4 w4 b4")
    said = set()
    for _ in range(3):
        said.add(move(batch, Rule(Kind.TELL_PLAYABLE)))
        say(batch, "I tell partner A which cards are rank one")
        say(batch, "I tell partner A which cards are rank two")
    allowed = {
        "I tell partner A which cards are rank one",
        "I tell partner A which cards are green",
    }
    assert said
    assert said <= allowed


def test_unknown() -> None:
    batch = table(["r2 y2 g2 w2 b2", "r3 g4 y3 w4 b4", "r1 y1 g1 w1 b1"])
    rule = Rule(Kind.TELL_UNKNOWN)
    assert move(batch, rule) == "I tell partner A which cards are red"
    say(batch, "I tell partner A which cards are red", *["I tell partner A which cards are red"])
    say(batch, "I tell partner A which cards are red")
    assert move(batch, rule) == "I tell partner A which cards are rank three"
    say(batch, "I tell partner A which cards are rank three")
    assert move(batch, rule) == "I tell partner A which cards are rank one"


def test_dispensable() -> None:
    batch = two("r1 y2 g2 w2 b2", "r1 g4 y3 w4 b4")
    say(batch, "I play card 1", "I tell partner A which cards are rank two")
    rule = Rule(Kind.TELL_DISPENSABLE)
    assert move(batch, rule) == NOTHING  # neither its colour nor its rank proves it useless
    say(batch, "I tell partner A which cards are red", "I tell partner A which cards are white")
    assert move(batch, rule) == "I tell partner A which cards are rank one"
    assert move(batch, Rule(Kind.TELL_DISPENSABLE, hints_below=5)) == NOTHING
    assert move(batch, Rule(Kind.TELL_DISPENSABLE, hints_below=6)) != NOTHING
    say(batch, "I tell partner A which cards are rank one", "I discard card 1")
    assert move(batch, rule) == NOTHING  # it is proved


def test_most() -> None:
    batch = two("r2 y2 g2 w2 b2", "r3 r4 y4 w4 r5")
    rule = Rule(Kind.TELL_MOST)
    assert move(batch, rule) == "I tell partner A which cards are red"
    say(batch, "I tell partner A which cards are red", "I tell partner A which cards are white")
    assert move(batch, rule) == "I tell partner A which cards are rank four"


def test_random_hints() -> None:
    said = set()
    for first in ("r3", "r4", "y3", "y4", "g3", "g4", "w3", "w4", "b3", "b4"):
        batch = table(["r2 y2 g2 w2 b2", f"{first} g1 y1 w1 b1", "r1 y1 g1 w1 b1"])
        sentence = move(batch, Rule(Kind.TELL_RANDOM))
        assert sentence == move(batch, Rule(Kind.TELL_RANDOM))
        assert sentence.startswith("I tell partner")
        said.add(sentence)
    assert len(said) > 4


def test_no_hint_without_hints() -> None:
    batch = two("r2 y2 g2 w2 b2", "r1 y1 g1 w1 b1")
    for _ in range(4):
        say(batch, "I tell partner A which cards are red")
        say(batch, "I tell partner A which cards are rank two")
    for kind in Kind:
        if kind.name.startswith("TELL"):
            assert move(batch, Rule(kind)) == NOTHING


def test_the_first_rule_with_a_move_makes_it() -> None:
    batch = two("r2 y2 g2 w2 b2", "r1 r4 y4 w4 r5")
    rules = (Rule(Kind.PLAY_SAFE), Rule(Kind.TELL_USEFUL), Rule(Kind.TELL_MOST))
    assert move(batch, *rules) == "I tell partner A which cards are rank one"
    assert [rule.kind for rule in RULES["outer"]][:2] == [Kind.PLAY_SAFE, Kind.DISCARD_USELESS]


# Conventions


def seats(name: str, batch: HanabiBatched) -> Seats:
    return Seats(batch, [make(name) for _ in range(batch.num_players)])


def test_smart_plays_the_newest_card_that_may_fit() -> None:
    batch = table(["y4 g4 w4 b4 y3", "r4 b2 g3 r1 w3", "y4 g4 w4 b4 b3"])
    table_of = seats("smart", batch)
    assert table_of.turn() == "I tell partner A which cards are red"
    assert table_of.turn() == "I play card 4"


def test_smart_does_not_mislead() -> None:
    # Red would make the newest red card, a three, seem to fit; rank one says it outright.
    batch = table(["y4 g4 w4 b4 y3", "r1 b2 g3 r3 w3", "y4 g4 w4 b4 b3"])
    table_of = seats("smart", batch)
    assert table_of.turn() == "I tell partner A which cards are rank one"
    assert table_of.turn() == "I play card 1"


@pytest.mark.parametrize("name", ["smart", "holmes"])
def test_a_valuable_card_is_warned_of(name: str) -> None:
    batch = table(["y4 g4 w4 b4 y3", "r5 b2 g3 r3 w3", "y4 g4 w4 b4 b3"])
    table_of = seats(name, batch)
    assert table_of.turn() == "I tell partner A which cards are rank five"
    # Warned, it keeps the five: were it to discard now, it would be its second card.
    table_of.turn()
    while batch.seat[0] != 1:
        table_of.turn()
    assert table_of.wants() != "I discard card 1"


@pytest.mark.parametrize("name", ["smart", "holmes"])
def test_a_play_is_better_than_a_warning(name: str) -> None:
    batch = table(["y4 g4 w4 b4 y3", "r5 b2 g1 r3 w3", "y4 g4 w4 b4 b3"])
    table_of = seats(name, batch)
    assert "five" not in table_of.turn()
    assert table_of.turn() == "I play card 3"


def test_holmes_names_the_next_of_a_colour() -> None:
    batch = table(["y4 g4 w4 b4 y3", "g3 r1 b2 b3 w3", "y4 g4 w4 b4 b3"])
    table_of = seats("holmes", batch)
    assert table_of.turn() == "I tell partner A which cards are red"
    assert table_of.turn() == "I play card 2"


def test_information_tells_everybody_something() -> None:
    """One hint, and two of three players know of a card that fits, whoever was told."""
    batch = table(["y4 g4 w4 b4 y3", "r4 b2 g1 r3 w3", "y4 g4 w1 b4 b3"])
    table_of = seats("information", batch)
    assert table_of.turn().startswith("I tell partner")
    assert table_of.turn() == "I play card 3"
    assert table_of.turn() == "I play card 3"
