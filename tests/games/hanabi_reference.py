"""Plays a game of ours and of a reference engine side by side, and compares all they say.

A reference game is recorded first: the cards in the order they were drawn, the moves, and after
each move everything the engine reports. Then many records are replayed at once, with their decks,
through the batched engine. What our seats observe is read back from their *facts* and written in
the reference's own text format, so a difference anywhere (engine, facts, decoder) is found.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from games.hanabi import HanabiBatched, HanabiConfig
from games.hanabi.decode import Kind, View, decode, decode_choice

LETTERS = "RYGWB"


@dataclass
class Position:
    """What a reference engine says before a move."""

    seat: int
    legal: list[str]
    observation: str  # normalised, see `normalise`
    move: str = ""
    reward: float = 0.0
    over: bool = False


@dataclass
class Record:
    """A whole reference game."""

    drawn: list[tuple[int, int]] = field(default_factory=list)
    positions: list[Position] = field(default_factory=list)
    score: float = 0.0  # as the reference scores: 0 for a lost game


def normalise(text: str) -> str:
    """A reference observation without marks that add nothing, discards sorted.

    A card's line reads ``R3 || RX|R1345``: the card (XX if hidden), the values it was told to
    have, and all that hints leave possible. The last implies the second, up to inference.
    """
    text = re.sub(r" \|\| ..\|", " ", text).replace("Cur player\n", "")
    lines = [line.strip() for line in text.strip().splitlines()]
    if lines[-1].startswith("Discards:"):
        lines[-1] = " ".join(["Discards:", *sorted(lines[-1].split()[1:])])
    return "\n".join(lines)


def write_reference(view: View, own_cards: int) -> str:
    """A view in the reference's observation format, normalised."""
    lines = [
        f"Life tokens: {view.lives}",
        f"Info tokens: {view.tokens}",
        "Fireworks: "
        + " ".join(f"{LETTERS[c]}{height}" for c, height in enumerate(view.fireworks)),
        "Hands:",
    ]
    possible = zip(view.possible_colours.tolist(), view.possible_ranks.tolist(), strict=True)
    for seat, (hand, (colours, ranks)) in enumerate(zip(view.hands, possible, strict=True)):
        if seat:
            lines.append("-----")
        for slot in range(len(hand) if seat else own_cards):
            shown = f"{LETTERS[hand[slot][0]]}{hand[slot][1] + 1}" if seat else "XX"
            left = [letter for letter, yes in zip(LETTERS, colours[slot], strict=False) if yes]
            left += [str(rank) for rank, yes in enumerate(ranks[slot], 1) if yes]
            lines.append(f"{shown} {''.join(left)}")
    lines.append(f"Deck size: {view.deck}")
    discards = [
        f"{LETTERS[c]}{r + 1}"
        for c, r in np.argwhere(view.discards)
        for _ in range(view.discards[c, r])
    ]
    lines.append(" ".join(["Discards:", *sorted(discards)]))
    return "\n".join(lines)


@cache
def write_move(choice: int) -> str:
    """A choice in the reference's words."""
    move = decode_choice(choice)
    if move.kind is Kind.DISCARD:
        return f"(Discard {move.slot})"
    if move.kind is Kind.PLAY:
        return f"(Play {move.slot})"
    assert move.value is not None
    if move.kind is Kind.TELL_COLOUR:
        return f"(Reveal player +{move.target} color {LETTERS[move.value]})"
    return f"(Reveal player +{move.target} rank {move.value + 1})"


def pick(rng: random.Random, legal: list[str], playable: list[bool], careful: float) -> str:
    """A random legal move; with probability ``careful`` none that would cost a life.

    Uniform play loses its lives within a few turns, so it would never see the end of a deck.
    """
    if rng.random() < careful:
        safe = [m for m in legal if not m.startswith("(Play") or playable[int(m[6:-1])]]
        good = [m for m in safe if m.startswith("(Play")]
        legal = good if good and rng.random() < 0.7 else safe or legal
    return rng.choice(legal)


def whole_deck(config: HanabiConfig, drawn: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The cards that were drawn, then the rest of the deck in any order."""
    rest = Counter(
        {
            (colour, rank): config.copies(rank)
            for colour in range(config.colours)
            for rank in range(config.ranks)
        }
    )
    rest.subtract(drawn)
    assert min(rest.values()) >= 0
    return [*drawn, *rest.elements()]


def replay(config: HanabiConfig, records: list[Record]) -> int:
    """Replays records through the batched engine; asserts that everything agrees.

    Returns:
        the number of moves compared.
    """
    n = len(records)
    batch = HanabiBatched(config, n)
    batch.reset(decks=[whole_deck(config, record.drawn) for record in records])
    moves = 0
    for turn in range(max(len(record.positions) for record in records)):
        move_index = np.zeros(n, np.int64)
        live = [i for i, record in enumerate(records) if turn < len(record.positions)]
        for i in live:
            position = records[i].positions[turn]
            where = f"game {i} turn {turn}"
            assert batch.seat[i] == position.seat, where
            legal = [write_move(c) for c in batch.choices[i, : batch.choice_counts[i]].tolist()]
            assert legal == position.legal, where
            view = decode(batch.facts[i])
            assert write_reference(view, config.hand) == position.observation, where
            move_index[i] = legal.index(position.move)
        step = batch.step(move_index)
        for i in live:
            record, where = records[i], f"game {i} turn {turn}"
            position = record.positions[turn]
            assert step.rewards[i, 0] == position.reward, where
            assert step.terminated[i, 0] == position.over, where
            if position.over:
                assert step.outcome["score"][i] == record.score, where
        moves += len(live)
    return moves
