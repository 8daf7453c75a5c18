"""Hanabi is handed to the kit that every game is handed to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import games
from games import testing
from games.hanabi import HanabiBatched
from games.hanabi.rules import MAX_RANKS

GOLDEN = Path(__file__).parents[1] / "golden"


AMOUNT = re.compile(r"there (?:is|are) (\d+|no) (hint|li[fv]e|card|turn)s? (?:left|in the deck)")


def decode(facts: list[str]) -> dict[str, Any]:
    """The table, as far as numbers tell it."""
    told: dict[str, Any] = {}
    for fact in facts:
        if found := re.fullmatch(
            r"there (?:is|are) (\d+|no) (hint|li[fv]e|card|turn)s? (?:left|in the deck)", fact
        ):
            told[found[2].replace("lif", "liv")] = 0 if found[1] == "no" else int(found[1])
    return told


def truth(game: HanabiBatched, index: int, seat: int) -> dict[str, Any]:
    state = {name: array[index] for name, array in game.state().items()}
    told = {"hint": int(state["tokens"]), "live": int(state["lives"])}
    deck = game.config.deck_size - int(state["drawn"])
    return told | ({"card": deck} if deck else {"turn": int(state["turns_left"]), "card": 0})


def scramble(game: HanabiBatched, seat: int) -> None:
    """Cards of the seat's hand and of the deck change places where hints allow it."""
    state, size = game.state(), game.config.deck_size
    for i in range(game.num_games):
        first, drawn = seat * game.config.hand, int(state["drawn"][i])
        for slot in range(first, first + int(state["sizes"][i, seat])):
            for place in range(drawn, size):
                mine, other = int(state["cards"][i, slot]), int(state["deck"][i, place])
                colour, rank = divmod(other, MAX_RANKS)
                allowed = state["colours"][i, slot] >> colour & state["ranks"][i, slot] >> rank & 1
                if allowed and mine != other:
                    state["cards"][i, slot], state["deck"][i, place] = other, mine
                    break
    game.load_state(state)


@pytest.mark.parametrize("name", ["hanabi:2", "hanabi:3@very-small", "hanabi:5@bomb=keep"])
def test_hanabi_is_a_game(name: str) -> None:
    testing.check_all(
        lambda num_games, seed, restart: games.batched(name, num_games, seed, restart),
        decode=decode,
        truth=truth,
        scramble=scramble,
        steps=120,
    )


def test_a_golden_game() -> None:
    testing.check_golden(
        GOLDEN / "hanabi-3p.json",
        lambda num_games, seed, restart: games.batched("hanabi:3", num_games, seed, restart),
    )
