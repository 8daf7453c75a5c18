"""Tracking: a small world in real time whose best play is known, at every delay.

A target runs round a ring of cells, one cell a frame; at each frame it turns round with probability
``noise``. A frame is won by pointing at the cell where the target is. An agent that is ``age``
frames late knows where the target was, and which way it ran; the best it can do is to point at the
cell where it most probably is by now, and how often that wins is known exactly (``optimum``). With
no noise the target can be foreseen for ever, and delay costs nothing; the more noise, the more a
frame of delay costs.

The world does not wait: a frame without an action of its own is lost. With ``delay`` an agent
lives in the past, and its choice is compared with a present that it has not seen; it is told how
far ahead that is. The target does not mind what is chosen, so this is the same as choices that take
so long, and a choice is rewarded at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from games.chance import GOLDEN, mix
from games.core import Step, check_moves
from games.text import PAD, Phrasebook

DIRECTIONS = ("left", "right")
MOST_DELAY = 128
"""Frames that a choice can lie ahead of what was seen."""

_STATE = {
    "position": "position",
    "direction": "direction",
    "past": "_past",
    "ahead": "ahead",
    "seeds": "_seeds",
    "rng": "_rng",
    "frame": "_frame",
    "won": "_won",
    "over": "_over",
}


@dataclass(frozen=True)
class TrackingConfig:
    """The world.

    Attributes:
        cells: length of the ring.
        noise: probability that the target turns round at a frame.
        frames: frames of an episode.
        delay: frames from what is seen to the frame at which the choice counts, 0 to 128.
        varied: whether each episode draws its delay, from 0 to ``delay``.
        way: whether it is said which way the target runs; else it has to be remembered where it
            was before.
    """

    cells: int = 12
    noise: float = 0.1
    frames: int = 600
    delay: int = 0
    varied: bool = False
    way: bool = True

    def __post_init__(self) -> None:
        for name, kind, kinds in (
            ("cells", "a whole number", int),
            ("noise", "a number", (int, float)),
            ("frames", "a whole number", int),
            ("delay", "a whole number", int),
            ("varied", "true or false", bool),
            ("way", "true or false", bool),
        ):
            value = getattr(self, name)
            if not isinstance(value, kinds) or isinstance(value, bool) != (kinds is bool):
                raise ValueError(f"{name} must be {kind}, got {value!r}")
        if self.cells < 3:
            raise ValueError(f"cells must be at least 3, got {self.cells}")
        if not 0 <= self.noise <= 0.5:
            raise ValueError(f"noise must lie between 0 and 0.5, got {self.noise}")
        if self.frames < 1:
            raise ValueError(f"frames must be at least 1, got {self.frames}")
        if not 0 <= self.delay <= MOST_DELAY:
            raise ValueError(f"delay must be 0 to {MOST_DELAY} frames, got {self.delay}")


@lru_cache(maxsize=1024)
def where(cells: int, noise: float, age: int) -> NDArray[np.float64]:
    """Where a target will be that is at cell 0 and runs to the right.

    Args:
        cells: length of the ring.
        noise: probability of turning round at a frame, before the step of that frame.
        age: frames from now.

    Returns:
        float64 [cells], the probability of each cell ``age`` frames later.
    """
    likely = np.zeros((2, cells))  # by direction and cell
    likely[1, 0] = 1
    for _ in range(age):
        likely = (1 - noise) * likely + noise * likely[::-1]
        likely = np.stack([np.roll(likely[0], -1), np.roll(likely[1], 1)])
    return likely.sum(axis=0)


def optimum(config: TrackingConfig, age: int) -> float:
    """Share of frames that the best play wins whose actions saw the world ``age`` frames ago."""
    return float(where(config.cells, config.noise, age).max())


def best_offset(config: TrackingConfig, age: int) -> int:
    """Cells from where the target was, in its direction, to where to point ``age`` frames later."""
    return int(where(config.cells, config.noise, age).argmax())


class TrackingBatched:
    """N worlds, a frame at a time; they speak text like every other game.

    In ``step`` the world waits for its agent. A loop in real time (``games.world``) takes a game
    without delay, asks about what is seen, and steps with whatever choice is due.

    Args:
        config: the world.
        num_games: N.
        seed: the k-th episode of game i has the seed ``seed + i + k * N``.
        restart: whether finished games start again inside ``step``.

    Attributes:
        position: int64 [N], the target's cell.
        direction: int64 [N], -1 or 1.
        ahead: int64 [N], frames from what is seen to the frame at which a choice counts, as far as
            the agent is told; 0 is not said.
    """

    interval = 1
    """Frames from a decision to the next."""
    between_frames: Callable[[], None] | None = None
    """Called before each frame: whoever paces them."""

    def __init__(
        self, config: TrackingConfig, num_games: int = 1, seed: int = 0, restart: bool = True
    ) -> None:
        self.config = config
        cells = config.cells
        self.phrasebook = Phrasebook(
            [
                *(f"the target is at cell {cell}" for cell in range(1, cells + 1)),
                *(f"the target runs {way}" for way in DIRECTIONS),
                *(f"I point at cell {cell}" for cell in range(1, cells + 1)),
                "I point nowhere",
                *(f"my choice counts in {ahead} frames" for ahead in range(1, MOST_DELAY + 1)),
            ]
        )
        self.num_games, self.num_players, self.roles = num_games, 1, ("player",)
        self.scoring, self.max_score = ("won",), float(config.frames)
        self.max_facts, self.max_choices, self.max_turns = 3, cells + 1, config.frames
        self.choice_phrases = np.arange(cells + 2, 2 * cells + 3, dtype=np.int16)
        seen, self._told = cells + 2 * config.way, 2 * cells + 2  # The sentence before the first.
        first = self._told + 1
        parts = np.arange(seen), np.arange(first, first + MOST_DELAY)
        self.fact_phrases = np.concatenate(parts).astype(np.int16)
        self.label_phrases = np.zeros((0, 0), np.int16)
        self.interchangeable: tuple[str, ...] = ()
        self.wait = cells
        """The choice of no action."""
        self.idle = int(self.choice_phrases[-1])
        """The same, as a phrase."""
        self._seed, self._restart = seed, restart
        self.reset()

    def reset(self, seeds: NDArray[np.uint64] | None = None) -> None:
        """Starts every game afresh, at its first seed or at a given one."""
        first = np.uint64(self._seed) + np.arange(self.num_games, dtype=np.uint64)
        self._seeds = first if seeds is None else np.asarray(seeds, np.uint64).copy()
        self._rng = self._seeds.copy()
        self._frame = np.zeros(self.num_games, np.int64)
        self._won = np.zeros(self.num_games, np.int64)
        self._over = np.zeros(self.num_games, bool)
        self.position = np.zeros(self.num_games, np.int64)
        self.direction = np.zeros(self.num_games, np.int64)
        self.ahead = np.zeros(self.num_games, np.int64)
        self._past = np.zeros((self.num_games, self.config.delay + 1, 2), np.int64)
        self._begin(np.ones(self.num_games, bool))
        self._observe()

    def step(self, move_index: NDArray[np.integer]) -> Step:
        """Points, and lets a frame go by.

        Args:
            move_index: integers [R]: the cell, or ``wait``.

        Raises:
            ValueError: if the shape or type is wrong, or an index names no choice.
        """
        move = check_moves(self, move_index)
        if self.between_frames is not None:
            self.between_frames()
        hit = np.zeros(self.num_games, bool)
        hit[self.due_game] = move == self.position[self.due_game]
        self._won += hit
        self._run(np.ones(self.num_games, bool))
        self._frame += 1
        ended = (self._frame >= self.config.frames) & ~self._over
        scores = self._won.astype(np.float32)
        if self._restart:
            self._seeds = np.where(ended, self._seeds + np.uint64(self.num_games), self._seeds)
            self._rng = np.where(ended, self._seeds, self._rng)
            self._begin(ended)
        else:
            self._over |= ended
        self._observe()
        return Step(
            rewards=hit.astype(np.float32)[:, None],
            terminated=ended[:, None],
            truncated=np.zeros((self.num_games, 1), bool),
            over=ended,
            elapsed=np.ones(self.num_games, np.int32),
            outcome={"won": scores},
        )

    def observe(self, seat: int) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        """What the player of every game sees: facts int16 [N, 3] and their counts int16 [N]."""
        return self._seen()

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Everything needed to continue bit for bit: a copy."""
        return {name: getattr(self, attribute).copy() for name, attribute in _STATE.items()}

    def load_state(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Continues from what ``state`` returned.

        Raises:
            ValueError: if the arrays come from another number of games.
        """
        for name, attribute in _STATE.items():
            if name not in arrays or arrays[name].shape != getattr(self, attribute).shape:
                raise ValueError(f"state {name!r} does not fit {self.num_games} games")
        for name, attribute in _STATE.items():
            setattr(self, attribute, arrays[name].astype(getattr(self, attribute).dtype))
        self._observe()

    def _begin(self, games: NDArray[np.bool_]) -> None:
        """Puts the targets of some games somewhere."""
        cell = (self._random(games) * self.config.cells).astype(np.int64)
        right = self._random(games) < 0.5
        self.position = np.where(games, cell, self.position)
        self.direction = np.where(games, np.where(right, 1, -1), self.direction)
        self._frame[games] = self._won[games] = 0
        config = self.config
        self._past[games] = np.stack([self.position, self.direction], 1)[games, None]
        if config.varied:
            drawn = (self._random(games) * (config.delay + 1)).astype(np.int64)
            self.ahead = np.where(games, drawn, self.ahead)
        else:
            self.ahead[games] = config.delay
        for _ in range(config.delay):  # The present lies ahead of what is seen.
            self._run(games)

    def _run(self, games: NDArray[np.bool_]) -> None:
        """Lets a frame go by for the targets of some games."""
        turn = (self._random(games) < self.config.noise) & games
        self.direction = np.where(turn, -self.direction, self.direction)
        moved = (self.position + self.direction) % self.config.cells
        self.position = np.where(games, moved, self.position)
        self._past[games, :-1] = self._past[games, 1:]
        self._past[games, -1] = np.stack([self.position, self.direction], 1)[games]

    def _seen(self) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        """Facts int16 [N, 3] and their counts int16 [N]."""
        # A world in real time may say that a choice lies ahead of what is seen now.
        back = np.minimum(self.ahead, self.config.delay)
        shown = self._past[np.arange(self.num_games), -1 - back]
        facts = np.full((self.num_games, self.max_facts), PAD, np.int16)
        facts[:, 0] = shown[:, 0]
        counts = np.ones(self.num_games, np.int16)
        if self.config.way:
            facts[:, 1] = self.config.cells + (shown[:, 1] > 0)
            counts += 1
        told = np.flatnonzero(self.ahead)
        facts[told, counts[told]] = self._told + self.ahead[told]
        counts[told] += 1
        return facts, counts

    def tell(self, pending: Sequence[Sequence[int]], ahead: int) -> None:
        """Says when a choice counts; see ``games.world.RealtimeGame``."""
        self.ahead[:] = min(ahead, MOST_DELAY)
        self._observe()

    def _observe(self) -> None:
        """Shows the worlds that are not over."""
        self.due_game = np.flatnonzero(~self._over).astype(np.int32)
        due = len(self.due_game)
        self.due_seat = np.zeros(due, np.int8)
        facts, counts = self._seen()
        self.facts, self.fact_counts = facts[self.due_game], counts[self.due_game]
        self.choices = np.tile(self.choice_phrases, (due, 1))
        self.choice_counts = np.full(due, self.max_choices, np.int16)
        self.labels = np.zeros((due, 0), np.int8)

    def _random(self, games: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
        """A number in [0, 1) for each game, of its own generator."""
        advanced = self._rng + GOLDEN
        self._rng = advanced if games is None else np.where(games, advanced, self._rng)
        return (mix(advanced) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def make_batched(
    name: str, players: int, num_games: int, seed: int, restart: bool, options: Mapping[str, Any]
) -> TrackingBatched:
    """A batch of it; see ``games.settings.Room``.

    Raises:
        ValueError: if an option is unknown or out of range.
    """
    known = TrackingConfig.__dataclass_fields__
    for option in options:
        if option not in known:
            raise ValueError(f"unknown option {option!r} of tracking; there are {', '.join(known)}")
    return TrackingBatched(TrackingConfig(**options), num_games, seed, restart)
