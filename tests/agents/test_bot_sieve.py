"""What hints mean in a referential sieve, on fixed decks; that strangers share nothing."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

import agents.bots
from agents.bots import make
from agents.bots.sieve_marks import CALLED, KEPT, MARKS, MEANT, SPARE, TOUCHED, Cards, heed
from games.hanabi.cards import COLOURS, all_cards, playable
from games.hanabi.view import views
from tests.agents.bots_table import Seats, observations, say, table

pytestmark = pytest.mark.timeout(600)  # the first of them waits for its player to be compiled

RED, YELLOW, GREEN = range(3)
ONE, FOUR = COLOURS, COLOURS + 3
NOTHING_NEW = "b4 b5 w4 w5 g5"  # nobody can be helped with these


def told(hand: str, *hints: tuple[int, str]) -> tuple[Cards, int]:
    """A partner's cards after hints, each with the slots (from 1) that it touches; what fits."""
    seen = observations(table([NOTHING_NEW, hand]))
    view = views(seen.facts, seen.fact_counts, seen.choices, seen.choice_counts)[0]
    cards = np.zeros((5, 5, 3), np.int64)
    cards[:, :, :MARKS] = all_cards(view)
    for hint, slots in hints:
        heed(view, 1, hint, sum(1 << int(slot) - 1 for slot in slots), cards)
    return cards[1], playable(view)


@pytest.mark.parametrize(
    ("touched", "called"),
    # The newer neighbour; beyond the newest comes the oldest; of several the newest is meant.
    [("3", 4), ("1", 2), ("5", 1), ("13", 4), ("15", 2), ("34", 5)],
)
def test_a_colour_calls_the_newer_neighbour_to_be_played(touched: str, called: int) -> None:
    cards, fits = told("r2 r3 g1 y1 b3", (GREEN, touched))
    marked = [slot + 1 for slot in range(5) if cards[slot, MARKS] & CALLED]
    assert marked == [called]
    assert not cards[called - 1, MEANT] & ~fits


@pytest.mark.parametrize(("touched", "spare"), [("4", 3), ("5", 4), ("25", 4), ("45", 3)])
def test_a_rank_lets_the_older_neighbour_be_discarded(touched: str, spare: int) -> None:
    cards, _ = told("r2 r3 g1 y4 b3", (FOUR, touched))
    assert [slot + 1 for slot in range(5) if cards[slot, MARKS] & SPARE] == [spare]


def test_a_rank_on_the_oldest_card_keeps_all() -> None:
    cards, _ = told("r4 r3 g1 y2 b3", (FOUR, "1"))
    assert (cards[:, MARKS] & KEPT).all()
    assert not (cards[:, MARKS] & SPARE).any()


def test_what_shows_a_card_to_fit_means_no_more() -> None:
    cards, fits = told("r2 r3 g1 y1 b3", (ONE, "34"))
    assert not cards[2, MEANT] & ~fits
    assert not (cards[:, MARKS] & (CALLED | SPARE)).any()


def test_whoever_has_something_to_do_is_called_by_ranks_too() -> None:
    # Slot 4 is called; then a rank touches slots 1 and 3: 1 has none beside it but 5, and 2 is
    # the oldest neighbour.
    cards, _ = told("r4 r1 g4 y1 b3", (GREEN, "3"), (FOUR, "13"))
    assert [slot + 1 for slot in range(5) if cards[slot, MARKS] & CALLED] == [4, 5]
    assert [slot + 1 for slot in range(5) if cards[slot, MARKS] & TOUCHED] == [1, 3]


def test_a_turn() -> None:
    batch = table(["r1 y2 r3 y3 g3", "r2 r3 g3 y1 b3"])
    seats = Seats(batch, [make("referential-sieve") for _ in range(2)])
    # Only green touches the card beside the yellow one.
    assert seats.turn() == "I tell partner A which cards are green"
    assert seats.turn() == "I play card 4"


def test_the_newest_card_goes_first() -> None:
    batch = table(["r4 y4 g4 w4 b4", "r4 y4 g4 w4 b4"], information_tokens=1)
    say(batch, "I tell partner A which cards are red")
    # Red touched the oldest: its neighbour was called, and a stranger's lie is found out in time.
    seats = Seats(batch, [make("referential-sieve") for _ in range(2)])
    assert seats.turn() == "I play card 2"
    assert seats.turn() == "I discard card 5"


def test_the_value_player_risks_no_last_life() -> None:
    # A four that was told of fitted as a one, most likely; with one life that is not enough.
    def wants(**options: int) -> str:
        batch = table(["r4 y4 g4 w4 b4", "r1 r2 r2 y2 y2"], **options)
        say(batch, "I tell partner A which cards are red")
        return Seats(batch, [make("value") for _ in range(2)]).wants()

    assert wants(life_tokens=3).startswith("I play card")
    assert not wants(life_tokens=1).startswith("I play card")


def test_the_value_player_tells_what_is_played_then() -> None:
    batch = table(["r4 y4 g4 w4 b4", "r1 y4 g4 w4 b4"])
    seats = Seats(batch, [make("value") for _ in range(2)])
    assert seats.turn() in (
        "I tell partner A which cards are red",
        "I tell partner A which cards are rank one",
    )
    assert seats.wants() == "I play card 1"


@pytest.mark.parametrize("module", ["sieve", "sieve_marks", "value"])
def test_partners_for_the_test_share_no_player_s_code(module: str) -> None:
    path = Path(agents.bots.__file__).with_name(f"{module}.py")
    found = {
        node.module
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module
    }
    ours = {name for name in found if name.startswith("agents.bots")}
    assert ours <= {"agents.bots.core", "agents.bots.sieve_marks"}
