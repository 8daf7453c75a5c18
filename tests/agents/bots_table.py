"""Fixed decks and scripted moves: how the tests of rule-based players set a table."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from agents.bots import Bot
from agents.core import Observations
from games.hanabi import HanabiBatched, configure

LETTERS = "rygwb"


def card(name: str) -> tuple[int, int]:
    """The colour and rank of a name such as "r1"."""
    return LETTERS.index(name[0]), int(name[1]) - 1


def table(hands: list[str], drawn: str = "", **options: Any) -> HanabiBatched:
    """One game whose hands, and then the cards drawn next, are as told; the rest is in order."""
    config = configure(players=len(hands), **options)
    first = [card(name) for name in " ".join([*hands, drawn]).split()]
    left = Counter(
        (colour, rank)
        for colour in range(config.colours)
        for rank in range(config.ranks)
        for _ in range(config.copies(rank))
    )
    left.subtract(first)
    batch = HanabiBatched(config, 1, restart=False)
    batch.reset(decks=[[*first, *left.elements()]])
    return batch


def observations(batch: HanabiBatched) -> Observations:
    """What the seats to act see, copied."""
    rows = (batch.facts, batch.fact_counts, batch.choices, batch.choice_counts)
    return Observations(*(array.copy() for array in rows))


def say(batch: HanabiBatched, *sentences: str) -> None:
    """Makes moves, one after the other, each the choice of that sentence."""
    for sentence in sentences:
        choices = batch.phrasebook.render(batch.choices[0])
        batch.step(np.array([choices.index(sentence)]))


class Seats:
    """Bots at a table, each with a memory of its own."""

    def __init__(self, batch: HanabiBatched, bots: list[Bot]) -> None:
        self.batch, self.bots = batch, bots
        self.memories = [np.zeros((1, bot.memory_size), np.float32) for bot in bots]

    def wants(self) -> str:
        """What the seat to act chooses; it remembers having been asked, so ask once a turn."""
        seat = int(self.batch.seat[0])
        choice, _, self.memories[seat] = self.bots[seat].act(
            observations(self.batch), self.memories[seat]
        )
        return self.batch.phrasebook[int(self.batch.choices[0, choice[0]])]

    def turn(self) -> str:
        """Lets the seat to act make its move, and tells which."""
        sentence = self.wants()
        say(self.batch, sentence)
        return sentence
