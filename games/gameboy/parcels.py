"""``parcels``: two linked consoles, and what each should know is on the other's screen.

A seat sees what its own console shows: its crane, how far its parcel has fallen, what it was told
of the parcel; and the partner's crane, and the stamp of the partner's parcel. See
``games.gameboy.sorting`` for what can be reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from games.gameboy.batch import ConsoleBatch
from games.gameboy.cartridges import build
from games.gameboy.console import LEFT, RIGHT, A, B, Console
from games.gameboy.link import Pair
from games.gameboy.presses import MOST_PENDING, Presses, Timing, pack
from games.gameboy.ram import OVER, PARCELS
from games.text import PAD, Phrasebook

ROWS, LANES = 8, 4
STAMPS = ("white round", "black round", "white square", "black square")
"""What a stamp can be; stamp k belongs into the bin under lane k."""

CHOICES = {
    "I wait": 0,
    "I move left": LEFT,
    "I move right": RIGHT,
    "I tell partner A the colour": A,
    "I tell partner A the shape": B,
}
"""The choices and their keys."""
WAIT, MOVE_LEFT, MOVE_RIGHT, TELL_COLOUR, TELL_SHAPE = range(5)
MOST_PARCELS, MOST_SPARKS = 48, 9


@dataclass(frozen=True)
class ParcelsConfig:
    """The game.

    Attributes:
        pace: frames a row, at least 2; a person wants 30.
        parcels: how many each seat sorts.
        sparks: how many each begins with.
        timing: when choices act; a decision every ``pace`` frames unless it says otherwise.
        emulated: whether consoles are; else their rules are computed
            (``games.gameboy.parcels_model``), which shows no picture and is much faster.
        threads: how many run consoles; 0 for as many as there are cores.
    """

    pace: int = 2
    parcels: int = 12
    sparks: int = 4
    timing: Timing = field(default_factory=Timing)
    emulated: bool = True
    threads: int = 0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("pace", 2, 250),
            ("parcels", 1, MOST_PARCELS),
            ("sparks", 0, MOST_SPARKS),
        ):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must be {low} to {high}, got {getattr(self, name)}")


@lru_cache(maxsize=1)
def sentences() -> tuple[dict[str, int], Phrasebook]:
    """The book of every ``parcels``, and where its parts begin."""
    seats = ("my", "partner A")
    parts: dict[str, list[str]] = {
        "lane": [f"{who} crane is over bin {stamp}" for who in seats for stamp in STAMPS],
        "stamp": [f"partner A parcel is {stamp}" for stamp in STAMPS],
        "colour": [f"my parcel is {colour}" for colour in ("white", "black")],
        "shape": [f"my parcel is {shape}" for shape in ("round", "square")],
        "told": [f"I told partner A the {what}" for what in ("colour", "shape")],
        "row": [f"my parcel has fallen {row} of {ROWS} rows" for row in range(ROWS)],
        "sparks": [f"{who} has {n} sparks" for who in ("I", "partner A") for n in range(10)],
        "left": [f"{n} parcels are to come for me" for n in range(MOST_PARCELS + 1)],
        "last": [f"{who} last parcel went {how}" for who in seats for how in ("wrong", "right")],
        "choice": list(CHOICES),
        "pending": [
            f"{sentence} in {turn} turns"
            for turn in range(1, MOST_PENDING + 1)
            for sentence in list(CHOICES)[1:]
        ],
        "label": [f"my parcel is {stamp}" for stamp in STAMPS],
    }
    parts["sparks"][:10] = [f"I have {n} sparks" for n in range(10)]
    begins: dict[str, int] = {}
    book: list[str] = []
    for name, phrases in parts.items():
        begins[name] = len(book)
        book += phrases
    return begins, Phrasebook(book)


class ParcelsBatched(ConsoleBatch):
    """N games for two on linked consoles; see ``games.core.BatchedGame``.

    Both seats earn 1 for each parcel of either that goes where it belongs.

    Args:
        config: the game.
        num_games: N.
        seed: the k-th episode of game i has the seed ``seed + i + k * N``.
        restart: whether finished games start again inside ``step``.
    """

    roles = ("sorter", "sorter")
    scoring = ("right",)

    def __init__(
        self, config: ParcelsConfig, num_games: int = 1, seed: int = 0, restart: bool = True
    ) -> None:
        self.config = config
        self._at, self.phrasebook = at, _ = sentences()
        self.max_score = float(2 * config.parcels)
        timing = config.timing
        depth = timing.depth if timing.pending else 0
        self.max_facts, self.max_choices = 14 + depth, len(CHOICES)
        self.max_turns = config.parcels * ROWS * config.pace // timing.interval + 2
        self.choice_phrases = np.arange(at["choice"], at["pending"], dtype=np.int16)
        pending = np.arange(depth * (len(CHOICES) - 1), dtype=np.int16) + at["pending"]
        self.fact_phrases = np.concatenate([np.arange(at["choice"], dtype=np.int16), pending])
        self.fact_phrases = self.fact_phrases.astype(np.int16)
        self.label_phrases = np.arange(at["label"], at["label"] + 4, dtype=np.int16)[None]
        self.presses: Presses = Presses([*CHOICES.values()], timing, (num_games, 2))
        self._cartridge = build.path("parcels").read_bytes()
        self._pairs: dict[Console, Pair] = {}  # by their first console
        super().__init__(self._machines, PARCELS, num_games, 2, seed, restart, config.threads)

    def _machines(self) -> Sequence[Console]:
        pair = Pair(self._cartridge)
        self._pairs[pair.consoles[0]] = pair
        return pair.consoles

    def _pair(self, game: int) -> Pair:
        return self._pairs[self._consoles[game][0]]

    def _run(self, game: int, frames: int, render: bool) -> None:
        self._pair(game).tick(frames, render)

    def _start(self, game: int, seed: int) -> None:
        pair, address, config = self._pair(game), PARCELS.address, self.config
        pair.latch.clear()
        for side, console in enumerate(pair.consoles):
            console.cancel()
            console.write(address["seed"], seed.to_bytes(4, "little"))
            console.write(address["seat"], [side, config.pace, config.parcels, config.sparks])
            console.write(address["reset"], [1])
        pair.tick()
        self.presses.clear(game)

    def _actions(self, move: NDArray[np.integer]) -> NDArray[np.int16]:
        actions = np.zeros((self.num_games, 2), np.int16)
        chosen = self.choices[np.arange(len(move)), move] - self._at["choice"]
        actions[self.due_game, self.due_seat] = chosen
        return actions

    def _advance(self, game: int, action: NDArray[np.int16]) -> None:
        pair = self._pair(game)
        self.presses.make(game, pair.consoles, action)
        self._tick(game, self.config.timing.interval)

    def _judge(
        self, before: NDArray[Any]
    ) -> tuple[
        NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_], dict[str, NDArray[np.float32]]
    ]:
        right = self.ram["right"].sum(1).astype(np.float32)
        over = (self.ram["phase"] == OVER).all(1)
        earned = right - before["right"].sum(1).astype(np.float32)
        return earned, over, np.zeros_like(over), {"right": right}

    def _look(
        self, games: NDArray[np.int32], seats: NDArray[np.int8]
    ) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        now, at = self.ram[games, seats], self._at
        number = {name: now[name].astype(np.int16) for name in PARCELS.address if name != "seed"}
        parcels = self.config.parcels
        mine, theirs = number["number"] < parcels, number["their_number"] < parcels

        def where(holds: NDArray[np.bool_], fact: NDArray[np.int16]) -> NDArray[np.int16]:
            return np.where(holds, fact, PAD).astype(np.int16)

        told, stamp = number["told"], number["told_stamp"]
        facts = [
            at["lane"] + number["lane"],
            at["lane"] + LANES + number["their_lane"],
            where(theirs, at["stamp"] + number["their_stamp"]),
            where(mine & (told & 1 > 0), at["colour"] + (stamp & 1)),
            where(mine & (told & 2 > 0), at["shape"] + (stamp >> 1)),
            where(theirs & (number["i_told"] & 1 > 0), np.full_like(told, at["told"])),
            where(theirs & (number["i_told"] & 2 > 0), np.full_like(told, at["told"] + 1)),
            where(mine, at["row"] + number["row"]),
            at["sparks"] + number["sparks"],
            at["sparks"] + 10 + number["their_sparks"],
            at["left"] + parcels - number["number"],
            where(number["last"] != 255, at["last"] + number["last"]),
            where(number["their_last"] != 255, at["last"] + 2 + number["their_last"]),
        ]
        timing = self.config.timing
        if timing.pending and timing.depth:
            waiting = self.presses.waiting[games, seats]
            ahead = np.arange(timing.depth) * (len(CHOICES) - 1)
            facts.append(np.where(waiting > 0, at["pending"] + ahead + waiting - 1, PAD))
        facts.append(np.full(len(games), PAD))
        rows, counts = pack([fact.astype(np.int16) for fact in facts])
        return rows[:, : self.max_facts], counts

    def _offer(
        self, games: NDArray[np.int32], seats: NDArray[np.int8]
    ) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        now, parcels = self.ram[games, seats], self.config.parcels
        mine = now["number"] < parcels
        tell = (now["their_number"] < parcels) & (now["sparks"] > 0)
        offered = np.stack(
            [
                np.ones(len(games), bool),
                mine & (now["lane"] > 0),
                mine & (now["lane"] < LANES - 1),
                tell & (now["i_told"] & 1 == 0),
                tell & (now["i_told"] & 2 == 0),
            ],
            axis=1,
        )
        return pack([np.where(offered, self.choice_phrases, PAD).astype(np.int16)])

    def _answers(self, games: NDArray[np.int32], seats: NDArray[np.int8]) -> NDArray[np.int8]:
        now = self.ram[games, seats]
        mine = now["number"] < self.config.parcels
        return np.where(mine, now["stamp"], -1).astype(np.int8)[:, None]
