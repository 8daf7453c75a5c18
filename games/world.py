"""A game for a loop in real time: turns that come whether or not anybody has chosen.

The loop that this serves::

    world, pacer = World(batched("parcels", num_games=1, restart=False, told=8)), Pacer()
    while not world.over:
        seen = world.observe()                       # ask somebody, and do not wait
        world.advance(chosen, pacer)                 # what has come in time, None for nothing

What was chosen travels as a phrase id. One that cannot be chosen any more when its turn comes is
dropped and counted: nothing waits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from games.core import BatchedGame, Step
from games.gameboy.console import FRAME_RATE
from games.gameboy.pace import Pacer


class RealtimeGame(BatchedGame, Protocol):
    """What a game needs beside to be played in real time.

    Attributes:
        idle: the phrase of the choice that does nothing.
        interval: frames of a turn, from one decision to the next.
        between_frames: called before each frame of a turn, whoever paces them.
    """

    idle: int
    interval: int
    between_frames: Callable[[], None] | None

    def tell(self, pending: Sequence[Sequence[int]], ahead: int) -> None:
        """Has the rows of game 0 say what is on its way, as far as the game has words for it.

        Args:
            pending: choices of each seat that are on their way, as phrases, the next to act first;
                ``idle`` where nothing is, or nobody knows.
            ahead: turns until a choice that is made now acts.
        """
        ...


class World:
    """One game, a turn at a time.

    Args:
        game: a batch of one game, which has what ``RealtimeGame`` says.

    Attributes:
        rate: turns per second in real time.
        turn: turns that have gone by.
        counts: turns of a seat with a choice of its own (``played``), without (``nothing``), and
            with one that could no longer be chosen (``stale``).
        applied: what was done at the last turn, a phrase id of each seat.

    Raises:
        ValueError: if the batch has more than one game, or the game waits for choices.
    """

    def __init__(self, game: BatchedGame) -> None:
        if game.num_games != 1:
            raise ValueError(f"a world is one game: num_games=1, got {game.num_games}")
        if getattr(game, "interval", None) is None:
            raise ValueError(
                "this game waits for whoever chooses, and cannot be played in real time: there are "
                "tracking, parcels, gameboy and blocks@choose=buttons"
            )
        self.game: RealtimeGame = game  # type: ignore[assignment]
        self.rate = FRAME_RATE / self.game.interval
        self.turn = 0
        self.counts = {"played": 0, "nothing": 0, "stale": 0}
        self.applied: list[int] = []

    @property
    def over(self) -> bool:
        """Whether the game has ended, and does not restart."""
        return not len(self.game.due_game)

    def observe(
        self, pending: Sequence[Sequence[int]] | None = None, ahead: int = 0
    ) -> dict[str, NDArray[np.int16]]:
        """What all seats see now, as copies.

        Args:
            pending: choices of each seat that are on their way, as phrase ids, the next one to act
                first. They become facts where the game was made with ``told`` turns of room.
            ahead: turns until a choice that is made now acts, where a game has words for it.

        Returns:
            ``facts`` and ``choices``, int16 [P, ...], padded, and ``fact_counts`` and
            ``choice_counts``, int16 [P].
        """
        game = self.game
        if pending is not None:
            game.tell(pending, ahead)
        names = ("facts", "fact_counts", "choices", "choice_counts")
        return {name: getattr(game, name).copy() for name in names}

    def advance(
        self,
        chosen: Sequence[int | None],
        pacer: Pacer | None = None,
        show: Callable[[], None] | None = None,
    ) -> Step:
        """Lets a turn go by.

        Args:
            chosen: a phrase id for each seat, None where there is none.
            pacer: who waits before each frame; without one, time is virtual.
            show: called before each frame that is paced.

        Returns:
            what the turn brought.
        """
        game, move = self.game, []
        self.applied = []
        for seat, choice in enumerate(chosen):
            offered = game.choices[seat].tolist()
            kind = "nothing" if choice is None else "played"
            if choice is not None and choice not in offered:
                kind, choice = "stale", None
            self.counts[kind] += 1
            self.applied.append(game.idle if choice is None else choice)
            move.append(offered.index(self.applied[-1]))
        self.turn += 1

        def paced() -> None:
            if pacer is not None:
                pacer.wait()
                if show is not None:
                    show()

        game.between_frames = paced if pacer is not None else None
        return game.step(np.array(move))
