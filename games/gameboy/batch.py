"""N consoles, or N linked pairs, as one batched game.

What a game needs of its own is small: how a choice becomes keys (``_advance``), how the RAM becomes
rewards and facts. The rest stands here. Consoles are reset through their cartridge's RAM; nothing
is ever loaded from a saved machine. ``state`` therefore keeps what was done since the last reset,
and ``load_state`` does it again: a cartridge that was reset does the same for the same keys.

Games run in threads, each its own consoles; the emulator releases the interpreter's lock, and no
result depends on which thread is faster.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from games.chance import GOLDEN, mix
from games.core import Step, check_moves
from games.gameboy.console import Console
from games.gameboy.presses import Presses
from games.gameboy.ram import START, RamMap
from games.text import Phrasebook

BOOT_FRAMES = 120
"""Enough for the machine's own start and the cartridge's."""


class ConsoleBatch:
    """What all games on consoles share.

    Args:
        machines: a call that switches on one game's consoles.
        ram: where their cartridge keeps what it knows.
        num_games: N.
        num_players: P, consoles a game.
        seed: the k-th episode of game i has the seed ``seed + i + k * N``.
        restart: whether finished games start again inside ``step``.
        threads: how many run consoles; 0 for as many as there are cores.

    Raises:
        ValueError: if a number is out of range.
    """

    phrasebook: Phrasebook
    label_phrases: NDArray[np.int16] = np.zeros((0, 0), np.int16)
    interchangeable: tuple[str, ...] = ()
    scoring: tuple[str, ...]
    fact_phrases: NDArray[np.int16]
    choice_phrases: NDArray[np.int16]
    roles: tuple[str, ...]
    max_score: float | None
    max_turns: int | None
    max_facts: int
    max_choices: int
    presses: Presses | None = None
    """Where choices are keys: which act when."""
    between_frames: Callable[[], None] | None = None
    """Called before each frame: whoever paces them. Frames then come one by one."""

    def __init__(
        self,
        machines: Callable[[], Sequence[Console]],
        ram: RamMap,
        num_games: int,
        num_players: int,
        seed: int,
        restart: bool,
        threads: int,
    ) -> None:
        if num_games < 1:
            raise ValueError(f"num_games must be at least 1, got {num_games}")
        if not 0 <= threads <= 256:
            raise ValueError(f"threads must be 0 to 256, got {threads}")
        self.num_games, self.num_players = num_games, num_players
        self._seed, self._restart = seed, restart
        threads = min(threads or os.cpu_count() or 1, num_games)
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None
        self._threads = threads
        self._map = ram
        self._consoles: list[Sequence[Console]] = [()] * num_games
        self._ram = np.zeros((num_games, num_players, ram.size), np.uint8)
        self.ram = self._ram.view(ram.dtype)[..., 0]
        """Structured [N, P]: what each console's cartridge says, field by field."""
        self._seeds = np.zeros(num_games, np.uint64)
        self._over = np.zeros(num_games, bool)
        self._done = np.zeros((num_games, 64, num_players), np.int16)
        """What was done since the last reset, decision by decision."""
        self._count = np.zeros(num_games, np.int64)

        def boot(game: int) -> None:
            self._consoles[game] = machines()
            self._boot(game)

        self._each(boot, range(num_games))
        self.reset()

    def reset(self, seeds: NDArray[np.uint64] | None = None) -> None:
        """Starts every game afresh, at its first seed or at a given one."""
        first = np.uint64(self._seed) + np.arange(self.num_games, dtype=np.uint64)
        self._seeds = first if seeds is None else np.asarray(seeds, np.uint64).copy()
        self._over[:] = False
        self._held: list[list[int]] = [[] for _ in range(self.num_players)]
        self._begin_games(np.arange(self.num_games))
        self._update()

    def step(self, move_index: NDArray[np.integer]) -> Step:
        """Does what was chosen, and lets frames go by until the next decision.

        Args:
            move_index: integers [R].

        Raises:
            ValueError: if the shape or type is wrong, or an index names no choice.
        """
        move = check_moves(self, move_index)
        actions = self._actions(move)
        before = self._snapshot()
        frames = self._do_games(np.flatnonzero(~self._over), actions)
        earned, terminated, truncated, outcome = self._judge(before)
        terminated, truncated = terminated & ~self._over, truncated & ~self._over
        over = terminated | truncated
        if self._restart:
            self._seeds[over] += np.uint64(self.num_games)
            if over[0]:
                self._held = [[] for _ in range(self.num_players)]
            self._begin_games(np.flatnonzero(over))
        else:
            self._over |= over
        self._update()
        seats = (1, self.num_players)
        return Step(
            rewards=np.tile(earned.astype(np.float32)[:, None], seats),
            terminated=np.tile(terminated[:, None], seats),
            truncated=np.tile(truncated[:, None], seats),
            over=over,
            elapsed=frames.astype(np.int32),
            outcome=outcome,
        )

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Everything needed to continue bit for bit: a copy, for checkpoints."""
        most = int(self._count.max(initial=0))
        return {
            "seeds": self._seeds.copy(),
            "over": self._over.copy(),
            "count": self._count.copy(),
            "done": self._done[:, :most].copy(),
        }

    def load_state(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Continues from what ``state`` returned: resets, and does everything again.

        Raises:
            ValueError: if the arrays come from another setting or number of games.
        """
        games = self.num_games
        names = ("seeds", "over", "count", "done")
        shapes = {name: arrays[name].shape if name in arrays else () for name in names}
        fits = shapes["seeds"] == shapes["over"] == shapes["count"] == (games,)
        fits &= len(shapes["done"]) == 3 and shapes["done"][::2] == (games, self.num_players)
        if not fits or int(np.max(arrays["count"])) > shapes["done"][1]:
            raise ValueError(f"the state does not fit {games} games: {shapes}")
        self._seeds = arrays["seeds"].astype(np.uint64)
        done, count = arrays["done"].astype(np.int16), arrays["count"].astype(np.int64)

        # Room for all of it first: threads may not move the array under each other.
        self._reserve(int(count.max(initial=0)))
        self._begin_games(np.arange(games))
        for number in range(int(count.max(initial=0))):
            self._do_games(np.flatnonzero(number < count), done[:, number])
        self._over = arrays["over"].astype(bool)
        self._update()

    def close(self) -> None:
        """Ends the emulators; the batch cannot be used any more."""
        if self._pool is not None:
            self._pool.shutdown()
        for consoles in self._consoles:
            for console in consoles:
                console.close()

    # What a game adds.

    def _boot(self, game: int) -> None:
        """What happens once, when a game's consoles have been switched on."""
        self._tick(game, BOOT_FRAMES)

    def _snapshot(self) -> NDArray[Any]:
        """What ``_judge`` compares with, a copy."""
        return self.ram.copy()

    def _start(self, game: int, seed: int) -> None:
        """Resets a game's consoles through their cartridge's RAM."""
        raise NotImplementedError

    def _advance(self, game: int, action: NDArray[np.int16]) -> None:
        """Does what the seats of a game have chosen, int16 [P], until their next decision."""
        raise NotImplementedError

    def _actions(self, move: NDArray[np.integer]) -> NDArray[np.int16]:
        """What moves mean, int16 [N, P], so that it can be done again later."""
        raise NotImplementedError

    def _judge(
        self, before: NDArray[Any]
    ) -> tuple[
        NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_], dict[str, NDArray[np.float32]]
    ]:
        """What was earned since ``before``, which games are over, which cut off, the outcome."""
        raise NotImplementedError

    def _look(
        self, games: NDArray[np.int32], seats: NDArray[np.int8]
    ) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        """Facts of some rows, int16 [R, max_facts], and their counts int16 [R]."""
        raise NotImplementedError

    def _offer(
        self, games: NDArray[np.int32], seats: NDArray[np.int8]
    ) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        """Choices of the due rows, int16 [R, max_choices], and their counts int16 [R]."""
        raise NotImplementedError

    def _answers(self, games: NDArray[np.int32], seats: NDArray[np.int8]) -> NDArray[np.int8]:
        """Labels of the due rows."""
        return np.zeros((len(games), 0), np.int8)

    # What is done with it.

    def observe(self, seat: int) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        """What one seat of every game knows now: facts int16 [N, max_facts], counts int16 [N]."""
        if not 0 <= seat < self.num_players:
            raise ValueError(f"seat must be 0 to {self.num_players - 1}, got {seat}")
        games = np.arange(self.num_games, dtype=np.int32)
        return self._look(games, np.full(self.num_games, seat, np.int8))

    def _begin_games(self, games: NDArray[np.int64]) -> None:
        """Resets some games, each at its seed."""

        def begin(game: int) -> None:
            self._start(game, self._seed_of(game))
            self._count[game] = 0
            self._fetch(game)

        self._each(begin, games.tolist())

    def _seed_of(self, game: int) -> int:
        """The cartridge's seed of a game's episode, in 32 bits."""
        mixed = mix((self._seeds[game : game + 1] + np.uint64(1)) * GOLDEN)
        return int(mixed[0]) & 0xFFFFFFFF

    def _do_games(self, games: NDArray[np.int64], actions: NDArray[np.int16]) -> NDArray[np.int64]:
        """Does what was chosen in some games, of ``actions`` int16 [N, P], and keeps it.

        Returns:
            int64 [N], frames that have gone by in each.
        """
        frames = np.zeros(self.num_games, np.int64)

        def do(game: int) -> None:
            start = self._consoles[game][0].frame
            self._done[game, self._count[game]] = actions[game]
            self._count[game] += 1
            self._advance(game, actions[game])
            self._fetch(game)
            frames[game] = self._consoles[game][0].frame - start

        self._each(do, games.tolist())
        return frames

    def _reserve(self, decisions: int) -> None:
        if decisions >= self._done.shape[1]:
            grown = np.zeros((self.num_games, 2 * decisions, self.num_players), np.int16)
            grown[:, : self._done.shape[1]] = self._done
            self._done = grown

    def _tick(self, game: int, frames: int) -> None:
        if self.between_frames is None:
            self._run(game, frames, False)
            return
        for _ in range(frames):
            self.between_frames()
            self._run(game, 1, True)
            self._keep_held(game)

    def _run(self, game: int, frames: int, render: bool) -> None:
        """Runs frames of a game's consoles."""
        for console in self._consoles[game]:
            console.tick(frames, render)

    def screens(self, game: int = 0, draw: bool = True) -> list[NDArray[np.uint8]]:
        """What a game's consoles show, uint8 [144, 160, 3] each.

        Args:
            game: which.
            draw: whether to draw it first: that takes a frame, in which nobody presses anything.
        """
        if draw:
            self._run(game, 1, True)
        return [console.screen() for console in self._consoles[game]]

    @property
    def is_over(self) -> bool:
        """Whether every game has ended; never so where games restart."""
        return bool(self._over.all())

    @property
    def interval(self) -> int | None:
        """Frames from a decision to the next; None where a choice takes as long as it takes."""
        return None if self.presses is None else self.presses.timing.interval

    @property
    def idle(self) -> int:
        """The phrase of the choice of no key, where choices are keys."""
        return int(self.choice_phrases[0])

    def tell(self, pending: Sequence[Sequence[int]], ahead: int) -> None:
        """Says what is on its way in game 0; see ``games.world.RealtimeGame``."""
        if self.presses is not None:
            self.presses.expect([[choice - self.idle for choice in seat] for seat in pending])
            self._update()

    @property
    def held(self) -> list[list[int]]:
        """What was held in game 0 in each frame that came one by one, of each console."""
        return self._held

    def hold(self, keys: Sequence[int], game: int = 0) -> None:
        """Holds keys on a game's consoles from the next frame on: a person's fingers.

        Args:
            keys: a mask for each console.
            game: which.
        """
        for console, mask in zip(self._consoles[game], keys, strict=True):
            console.hold(mask)

    def frame(self, render: bool = False) -> None:
        """Lets one frame of game 0 go by with whatever is held.

        It is no decision, and not kept in ``state``; what it brought shows in the rows and in
        ``outcome``.

        Args:
            render: whether it is drawn.
        """
        self._run(0, 1, render)
        self._keep_held(0)
        self._fetch(0)
        _, terminated, truncated, _ = self._judge(self._snapshot())
        self._over[0] |= terminated[0] | truncated[0]
        self._update()

    def outcome(self, game: int = 0) -> dict[str, float]:
        """The outcomes of a game as they stand."""
        return {name: float(v[game]) for name, v in self._judge(self._snapshot())[3].items()}

    def refresh(self) -> None:
        """Brings the rows up to date with what changed outside of ``step``."""
        self._update()

    def _keep_held(self, game: int) -> None:
        for held, console in zip(self._held, self._consoles[game], strict=True) if not game else ():
            held.append(console.keys)

    def _fetch(self, game: int) -> None:
        for seat, console in enumerate(self._consoles[game]):
            data = console.read(START, self._map.size)
            self._ram[game, seat] = np.frombuffer(data, np.uint8)

    def _each(self, call: Callable[[int], None], games: Sequence[int]) -> None:
        """Calls for every game, in threads where there are several."""
        if self._pool is None or len(games) < 2:
            for game in games:
                call(game)
            return

        def some(first: int) -> None:
            for game in games[first :: self._threads]:
                call(game)

        for _ in self._pool.map(some, range(self._threads)):
            pass

    def _update(self) -> None:
        """Brings the rows up to date; nobody is due in a game that is over."""
        self._reserve(int(self._count.max(initial=0)) + 1)
        playing = np.flatnonzero(~self._over).astype(np.int32)
        self.due_game = np.repeat(playing, self.num_players)
        self.due_seat = np.tile(np.arange(self.num_players, dtype=np.int8), len(playing))
        self.facts, self.fact_counts = self._look(self.due_game, self.due_seat)
        self.choices, self.choice_counts = self._offer(self.due_game, self.due_seat)
        self.labels = self._answers(self.due_game, self.due_seat)
