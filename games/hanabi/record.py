"""A game of Hanabi on paper: who sat where, the deck, and every move in words.

A record is all that is needed to play a game again::

    record = GameRecord.begin(HanabiConfig(players=2), ("Ann", "Bo"), seed=7)
    record = record.then("I tell partner A which cards are red")
    save(record, Path("game.json"))
    for position in load(Path("game.json")).positions():
        print(position.turn, position.move, position.score)

Moves are the sentences of the choices, so seats in them are relative to whoever moved.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from games.hanabi import decode
from games.hanabi.batched import HanabiBatched
from games.hanabi.decode import Kind, View
from games.hanabi.rules import MAX_RANKS, HanabiConfig

FORMAT = "troupe hanabi game 1"

_SUITS = {5: (0, 1, 2, 4, 3)}
"""Suits of hanab.live, by number, of our red, yellow, green, white and blue; with fewer colours the
order is the same."""

Card = tuple[int, int]


@dataclass(frozen=True)
class Position:
    """The open table before a move, or at the end.

    Attributes:
        turn: moves made so far.
        seat: whose turn it is, absolute.
        move: the choice that the seat made, None where the record ends.
        view: what that seat observed, which holds all that is public.
        hands: (colour, rank) of every card of every absolute seat, the oldest first.
        score: points on the table.
        lost: whether the last life is spent.
        over: whether the game has come to its end.
    """

    turn: int
    seat: int
    move: str | None
    view: View
    hands: tuple[tuple[Card, ...], ...]
    score: int
    lost: bool
    over: bool


@dataclass(frozen=True)
class GameRecord:
    """One game, whole or as far as it was played.

    Attributes:
        config: the setting.
        players: a name for each absolute seat.
        seed: of the game; it decides who begins, where the setting leaves that open.
        deck: (colour, rank) of all cards, zero-based, in the order they are drawn; seat 0's whole
            hand first, then seat 1's, and so on.
        moves: the sentences of the choices that were made.

    Raises:
        ValueError: if names, deck or a move do not fit the setting and the game so far.
    """

    config: HanabiConfig
    players: tuple[str, ...]
    seed: int
    deck: tuple[Card, ...]
    moves: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.players) != self.config.players or not all(
            isinstance(name, str) and name for name in self.players
        ):
            raise ValueError(
                f"a game of {self.config.players} needs as many names, got {list(self.players)}"
            )
        self.table()

    @classmethod
    def begin(cls, config: HanabiConfig, players: tuple[str, ...], seed: int) -> GameRecord:
        """The game that a seed deals, before its first move.

        Raises:
            ValueError: if there are not as many names as seats, or the seed is out of range.
        """
        batch = HanabiBatched(config, 1, seed, restart=False)
        cards = batch.state()["deck"][0, : config.deck_size].tolist()
        return cls(config, players, seed, tuple(divmod(card, MAX_RANKS) for card in cards))

    def then(self, move: str) -> GameRecord:
        """The record with one more move.

        Raises:
            ValueError: if the move is not legal.
        """
        return replace(self, moves=(*self.moves, move))

    def table(self) -> HanabiBatched:
        """The batch of one game that the record's moves lead to; it does not restart."""
        table = self._dealt()
        for turn, move in enumerate(self.moves):
            self._make(table, turn, move)
        return table

    def positions(self) -> Iterator[Position]:
        """Every position from the deal to the last move: one more than there are moves."""
        table, score, lost, over = self._dealt(), 0, False, False
        for turn in range(len(self.moves) + 1):
            move = self.moves[turn] if turn < len(self.moves) else None
            seat = int(table.seat[0])
            yield Position(
                turn, seat, move, self._view(table, seat), self._hands(table), score, lost, over
            )
            if move is not None:
                score, lost, over = self._make(table, turn, move)

    def _dealt(self) -> HanabiBatched:
        table = HanabiBatched(self.config, 1, restart=False)
        table.reset(np.array([self.seed], np.uint64), [self.deck])
        return table

    def _make(self, table: HanabiBatched, turn: int, move: str) -> tuple[int, bool, bool]:
        """Makes a move: points on the table, whether lost, whether over."""
        legal = table.phrasebook.render(table.choices.ravel())
        if move not in legal:
            why = "the game is over" if not legal else f"legal are {'; '.join(legal)}"
            raise ValueError(f"move {turn + 1}, {move!r}, cannot be made: {why}")
        step = table.step(np.array([legal.index(move)]))
        points, lost = step.outcome["points"][0], step.outcome["lost"][0]
        return int(points), bool(lost), bool(step.over[0])

    def _view(self, table: HanabiBatched, seat: int) -> View:
        return decode.decode(table.observe(seat)[0][0])

    def _hands(self, table: HanabiBatched) -> tuple[tuple[Card, ...], ...]:
        """Every hand, as the seat before its owner sees it."""
        n = self.config.players
        return tuple(tuple(self._view(table, (s - 1) % n).hands[1]) for s in range(n))


def save(record: GameRecord, path: Path) -> None:
    """Writes a record as JSON, whole or not at all; its folder is made.

    The deck is a list of [colour, rank], zero-based, as ``HanabiBatched.reset`` takes it.
    """
    values = {
        "format": FORMAT,
        "players": record.players,
        "rules": asdict(record.config),
        "seed": record.seed,
        "deck": record.deck,
        "moves": record.moves,
    }
    lines = ",\n".join(f"  {json.dumps(k)}: {_laid_out(k, v)}" for k, v in values.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
    os.replace(temporary, path)


def load(path: Path) -> GameRecord:
    """Reads a record and plays it through.

    Raises:
        ValueError: if the file is not a record, or its game cannot be played.
        OSError: if the file cannot be read.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no recorded game: {error}") from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise ValueError(f'{path} is no recorded game: its "format" is not {FORMAT!r}')
    try:
        return GameRecord(
            HanabiConfig(**values["rules"]),
            tuple(values["players"]),
            values["seed"],
            tuple((colour, rank) for colour, rank in values["deck"]),
            tuple(values["moves"]),
        )
    except KeyError as error:
        raise ValueError(f"{path} is no whole game: {error} is missing") from error
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path} holds no game that can be played: {error}") from error


def to_hanab_live(record: GameRecord) -> dict[str, Any]:
    """A record in the JSON format in which the site hanab.live keeps and reads games.

    There player 0 always begins, so seats are counted from the first to act, and the dealt hands
    change places in the deck with them. A card's number is its place in that deck. Suits keep their
    names, of which the site has red, yellow, green, blue and purple: white is the one that is left,
    purple, or with four colours blue.

    Returns:
        ``{"players", "deck", "actions", "options"}``, plain values for JSON.

    Raises:
        ValueError: if the site has no such setting.
    """
    config = record.config
    variants = {5: "No Variant", 4: "4 Suits", 3: "3 Suits"}
    standard = HanabiConfig(players=config.players, colours=config.colours)
    for name in ("ranks", "hand", "information_tokens", "life_tokens"):
        if getattr(config, name) != getattr(standard, name):
            raise ValueError(
                f"hanab.live plays with {name.replace('_', ' ')} {getattr(standard, name)}, "
                f"this game has {getattr(config, name)}"
            )
    if config.colours not in variants:
        raise ValueError(f"hanab.live plays with 3 to 5 colours, this game has {config.colours}")
    players, hand = config.players, config.hand
    first = next(record.positions()).seat
    seats = [(first + offset) % players for offset in range(players)]
    order = [seat * hand + slot for seat in seats for slot in range(hand)]
    order += range(players * hand, config.deck_size)
    suits = _SUITS.get(config.colours, range(config.colours))
    number = {at: new for new, at in enumerate(order)}
    held = [[number[seat * hand + slot] for slot in range(hand)] for seat in range(players)]
    drawn = players * hand
    actions = []
    for position in record.positions():
        if position.move is None:
            continue
        move = decode.decode_choice(HanabiBatched.phrasebook.id(position.move))
        if move.slot is not None:
            card = held[position.seat].pop(move.slot)
            actions.append({"type": 0 if move.kind is Kind.PLAY else 1, "target": card})
            if drawn < config.deck_size:
                held[position.seat].append(drawn)
                drawn += 1
        else:
            assert move.target is not None
            assert move.value is not None
            target = (position.seat - first + move.target) % players
            if move.kind is Kind.TELL_COLOUR:
                actions.append({"type": 2, "target": target, "value": suits[move.value]})
            else:
                actions.append({"type": 3, "target": target, "value": move.value + 1})
    deck = [record.deck[at] for at in order]
    return {
        "players": [record.players[seat] for seat in seats],
        "deck": [{"suitIndex": suits[colour], "rank": rank + 1} for colour, rank in deck],
        "actions": actions,
        "options": {"variant": variants[config.colours]},
    }


def _laid_out(key: str, value: Any) -> str:
    """A value of a record's file: moves a line each, everything else on one line."""
    if key == "moves" and value:
        return "[\n    " + ",\n    ".join(map(json.dumps, value)) + "\n  ]"
    return json.dumps(value)
