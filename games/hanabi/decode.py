"""From facts back to what they say: a seat's view of the table, as numbers.

Rule-based players read the game through this view, and tests compare it with the engine's state.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from games.hanabi import phrases
from games.hanabi.rules import MAX_COLOURS, MAX_RANKS
from games.text import PAD


class Kind(Enum):
    """What a move does."""

    DISCARD = "discard"
    PLAY = "play"
    TELL_COLOUR = "tell colour"
    TELL_RANK = "tell rank"


@dataclass(frozen=True)
class Move:
    """A choice. Indices count from zero.

    Attributes:
        kind: what it does.
        slot: of the card to play or discard, None for a hint.
        target: relative seat that is told, None without a hint.
        value: colour or rank that is told, None without a hint.
    """

    kind: Kind
    slot: int | None = None
    target: int | None = None
    value: int | None = None


@dataclass
class Event:
    """The latest move of a seat, and what it brought.

    Attributes:
        move: what the seat did; ``move.target`` is relative to the observer, 0 being itself.
        card: (colour, rank) of the card that left the hand, None for a hint.
        outcome: ``phrases.FITTED``, ``MISFIRED`` or ``DISCARDED``, None for a hint.
        touched: slots that a hint touched, at the time of the hint.
    """

    move: Move
    card: tuple[int, int] | None = None
    outcome: int | None = None
    touched: list[int] = field(default_factory=list)


@dataclass
class View:
    """What a seat observes. Seats are relative, 0 being the observer; C colours, R ranks.

    Attributes:
        players, hand_size, colours, ranks, max_tokens, max_lives: the setting.
        keeps_points: whether a lost game keeps its points.
        tokens, lives, deck: what is left.
        turns_left: moves left, None while the deck holds cards.
        fireworks: height of each colour.
        discards: int64 [C, R], how many of each card lie in the discards.
        hands: (colour, rank) of every card of every seat; the observer's own is empty.
        possible_colours: bool [P, hand_size, C], which colours hints leave possible.
        possible_ranks: bool [P, hand_size, R], likewise.
        events: the latest move of each seat, None before its first.
    """

    players: int = 0
    hand_size: int = 0
    colours: int = 0
    ranks: int = 0
    max_tokens: int = 0
    max_lives: int = 0
    keeps_points: bool = False
    tokens: int = 0
    lives: int = 0
    deck: int = 0
    turns_left: int | None = None
    fireworks: list[int] = field(default_factory=list)
    discards: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    hands: list[list[tuple[int, int]]] = field(default_factory=list)
    possible_colours: NDArray[np.bool_] = field(default_factory=lambda: np.zeros((0, 0, 0), bool))
    possible_ranks: NDArray[np.bool_] = field(default_factory=lambda: np.zeros((0, 0, 0), bool))
    events: list[Event | None] = field(default_factory=list)


@cache
def _places() -> list[tuple[str, tuple[int, ...]]]:
    """Block name and indices of every id."""
    return [
        (block.name, index) for block, index in map(phrases.locate, range(len(phrases.PHRASEBOOK)))
    ]


def decode_choice(id: int) -> Move:
    """What a choice does.

    Raises:
        ValueError: if the id is not a choice.
    """
    name, index = _places()[id]
    if name == "DISCARD":
        return Move(Kind.DISCARD, slot=index[0])
    if name == "PLAY":
        return Move(Kind.PLAY, slot=index[0])
    if name == "TELL_COLOUR":
        return Move(Kind.TELL_COLOUR, target=index[0] + 1, value=index[1])
    if name == "TELL_RANK":
        return Move(Kind.TELL_RANK, target=index[0] + 1, value=index[1])
    raise ValueError(f"phrase {id} ({phrases.PHRASEBOOK[id]!r}) is not a choice")


def _told(target: int, hint: int) -> Event:
    if hint < MAX_COLOURS:
        return Event(Move(Kind.TELL_COLOUR, target=target, value=hint))
    return Event(Move(Kind.TELL_RANK, target=target, value=hint - MAX_COLOURS))


def decode(facts: ArrayLike) -> View:
    """What a row of facts says.

    Args:
        facts: ids [n] in the engine's order; PAD is skipped.

    Raises:
        ValueError: if a phrase is not a fact, or stands where the engine never writes it.
    """
    view = View()
    places = _places()
    setting: dict[str, int] = {}
    for id in np.asarray(facts).tolist():
        if id == PAD:
            continue
        name, index = places[id]
        if name in ("PLAYERS", "HAND", "COLOURS", "RANKS", "MAX_TOKENS", "MAX_LIVES", "BOMB"):
            setting[name] = index[0]
            if name == "BOMB":  # the last of the setting
                _prepare(view, setting)
        elif name == "TOKENS":
            view.tokens = index[0]
        elif name == "LIVES":
            view.lives = index[0]
        elif name == "DECK":
            view.deck = index[0]
        elif name == "TURNS":
            view.turns_left = index[0]
        elif name == "FIREWORK":
            view.fireworks[index[0]] = index[1]
        elif name == "DISCARDS":
            view.discards[divmod(index[0], MAX_RANKS)] = index[1] + 1
        elif name == "HOLDS":
            partner, slot, card = index
            hand = view.hands[partner + 1]
            if slot != len(hand):
                raise ValueError(f"facts show card {slot + 1} of partner {partner + 1} out of turn")
            hand.append(divmod(card, MAX_RANKS))
        elif name == "KNOWS":
            seat, slot, attribute = index
            kind, value = divmod(attribute, 5)
            possible = (view.possible_colours if kind < 2 else view.possible_ranks)[seat, slot]
            if kind % 2:
                possible[value] = False
            else:
                possible[:] = False
                possible[value] = True
        elif name == "CHOSE_DISCARD":
            view.events[index[0]] = Event(Move(Kind.DISCARD, slot=index[1]))
        elif name == "CHOSE_PLAY":
            view.events[index[0]] = Event(Move(Kind.PLAY, slot=index[1]))
        elif name == "REVEALED":
            event = view.events[index[0]]
            assert event is not None  # said just before
            event.outcome, event.card = index[1], divmod(index[2], MAX_RANKS)
        elif name == "TOLD":
            teller, target = phrases.unpair(index[0])
            view.events[teller] = _told(target, index[1])
        elif name == "TOUCHED":
            event = view.events[index[0]]
            assert event is not None  # said just before
            event.touched.append(index[1])
        elif name not in ("SEEN", "SURE"):  # these say nothing new
            raise ValueError(f"phrase {id} ({phrases.PHRASEBOOK[id]!r}) is not a fact")
    return view


def _prepare(view: View, setting: dict[str, int]) -> None:
    """Fills in the setting and what follows from it."""
    view.players = setting["PLAYERS"]
    view.hand_size = setting["HAND"]
    view.colours = setting["COLOURS"]
    view.ranks = setting["RANKS"]
    view.max_tokens = setting["MAX_TOKENS"]
    view.max_lives = setting["MAX_LIVES"]
    view.keeps_points = bool(setting["BOMB"])
    view.fireworks = [0] * view.colours
    view.discards = np.zeros((view.colours, view.ranks), np.int64)
    view.hands = [[] for _ in range(view.players)]
    view.possible_colours = np.ones((view.players, view.hand_size, view.colours), bool)
    view.possible_ranks = np.ones((view.players, view.hand_size, view.ranks), bool)
    view.events = [None] * view.players
