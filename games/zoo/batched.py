"""PettingZoo environments as batched games that speak text: N copies, stepped in a loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from games.core import Step, check_moves
from games.text import PAD, Phrasebook
from games.zoo.describe import Describer
from games.zoo.worlds import World

MAX_TURNS = 10_000
"""A seat's own turns in an episode, where nobody says how many there can be."""


class ZooBatched:
    """N copies of an environment; see :class:`games.core.BatchedGame` for the attributes.

    Environments cannot be copied bit for bit. ``state`` holds what can always be done again: the
    seed and the actions of the episode in progress; ``load_state`` plays them again, which takes as
    long as they took.

    Args:
        make: makes a world; called N times, and for each episode if the environment keeps anything
            over a reset.
        describer: puts it into words.
        num_games: N.
        seed: the k-th episode of game i has the seed ``seed + i + k * N``.
        restart: whether finished games start again inside ``step``.
        max_turns: where an episode is cut off, in a seat's own turns.
        frame_skip: cycles for which each choice is made, or less if somebody comes or goes.

    Raises:
        ValueError: if an argument is out of range, or the environment cannot be put into words.
    """

    scoring = ("return",)
    max_score = None
    interchangeable: tuple[str, ...] = ()

    def __init__(
        self,
        make: Callable[[], World],
        describer: Describer,
        num_games: int = 1,
        seed: int = 0,
        restart: bool = True,
        max_turns: int = MAX_TURNS,
        frame_skip: int = 1,
    ) -> None:
        for name, value in (
            ("num_games", num_games),
            ("max_turns", max_turns),
            ("frame_skip", frame_skip),
        ):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self.num_games, self.seed = num_games, seed
        self.max_turns, self.frame_skip = max_turns, frame_skip
        self._make, self._restart = make, restart
        self._worlds = [make() for _ in range(num_games)]
        words = self._words = describer(self._worlds[0])
        self.num_players, self.roles = len(words.roles), words.roles
        actions = list(dict.fromkeys(one for each in words.actions for one in each))
        if not set(actions).isdisjoint(words.facts):
            raise ValueError("a describer gives the same sentence to a fact and an action")
        self.phrasebook = Phrasebook([*words.facts, *actions])
        first = len(words.facts)
        self.fact_phrases = np.arange(first, dtype=np.int16)
        self.choice_phrases = np.arange(first, first + len(actions), dtype=np.int16)
        self._choices = [self.phrasebook.parse(each) for each in words.actions]
        self._all = [np.arange(len(each)) for each in self._choices]
        self.max_facts, self.max_choices = words.max_facts, max(map(len, self._choices))
        self.label_phrases = np.zeros((0, 0), np.int16)
        rows = num_games * self.num_players
        self._facts = np.full((rows, self.max_facts), PAD, np.int16)
        self._fact_counts = np.zeros(rows, np.int16)
        self._offers = np.full((rows, self.max_choices), PAD, np.int16)
        self._offer_counts = np.zeros(rows, np.int16)
        self._labels = np.zeros((rows, 0), np.int8)
        self.reset()

    def reset(self, seeds: NDArray[np.uint64] | None = None) -> None:
        """Starts every game afresh, at its first seed or at a given one."""
        n = self.num_games
        first = np.arange(n, dtype=np.uint64) + np.uint64(self.seed)
        self._seeds = first if seeds is None else np.array(seeds, np.uint64)
        if self._seeds.shape != (n,):
            raise ValueError(f"seeds must have shape ({n},), got {self._seeds.shape}")
        self._returns = np.zeros((n, self.num_players))
        self._turns = np.zeros((n, self.num_players), np.int64)
        self._finished = np.zeros(n, bool)
        self._played: list[list[int]] = [[] for _ in range(n)]  # actions of the episode
        self._steps = np.zeros(n, np.int64)
        for game in range(n):
            self._begin(game)
        self._show()

    def _begin(self, game: int) -> None:
        if self._worlds[game].used and not self._words.keeps_nothing:
            self._worlds[game] = self._make()
        self._worlds[game].reset(int(self._seeds[game]))
        self._returns[game] = self._turns[game] = self._steps[game] = 0
        self._played[game] = []

    def step(self, move_index: NDArray[np.integer]) -> Step:
        """Makes the choices of all due seats; see ``BatchedGame.step``."""
        moves = check_moves(self, move_index)
        actions: list[list[int]] = [[] for _ in range(self.num_games)]
        index = moves.tolist()
        for row, game in enumerate(self.due_game.tolist()):
            actions[game].append(int(self._offered[row][index[row]]))
        shape = self.num_games, self.num_players
        step = Step(
            rewards=np.zeros(shape, np.float32),
            terminated=np.zeros(shape, bool),
            truncated=np.zeros(shape, bool),
            over=np.zeros(self.num_games, bool),
            elapsed=np.zeros(self.num_games, np.int32),
            outcome={"return": np.zeros(self.num_games, np.float32)},
        )
        for game, chosen in enumerate(actions):
            if not self._finished[game]:
                self._advance(game, chosen, step)
            step.outcome["return"][game] = self._returns[game].mean()
            if step.over[game]:
                if self._restart:
                    self._seeds[game] += np.uint64(self.num_games)
                    self._begin(game)
                else:
                    self._finished[game] = True
        self._show()
        return step

    def _advance(self, game: int, actions: list[int], step: Step) -> None:
        """Plays one step of one game, and writes down what it brought."""
        world = self._worlds[game]
        self._turns[game, world.due] += 1
        rewards, elapsed = self._play(world, actions)
        self._returns[game] += rewards
        self._played[game] += actions
        self._steps[game] += 1
        step.rewards[game] = rewards
        step.terminated[game], step.truncated[game] = world.terminated, world.truncated
        step.elapsed[game], step.over[game] = elapsed, world.over
        # Steps are counted as well: nobody may be due in some.
        most = self._turns[game].max() >= self.max_turns
        most |= self._steps[game] >= self.max_turns * self.num_players
        if most and not world.over:
            step.truncated[game, world.living()] = True
            step.over[game] = True

    def _play(self, world: World, actions: list[int]) -> tuple[NDArray[np.float64], int]:
        """Lets a choice stand for some cycles. Returns rewards float64 [P], and rounds."""
        rewards, due, elapsed = np.zeros(self.num_players), world.due, 0
        for _ in range(self.frame_skip):
            world.step(actions)
            rewards += world.rewards
            elapsed += world.elapsed
            if world.over or world.due != due or any(map(world.restricted, due)):
                break
        return rewards, elapsed

    def _show(self) -> None:
        """Writes a row for every due seat."""
        due_game: list[int] = []
        due_seat: list[int] = []
        self._offered: list[NDArray[np.int64]] = []  # numbers of the actions of each row
        self._facts.fill(PAD)
        self._offers.fill(PAD)
        describe, row = self._words.describe, 0
        for game, world in enumerate(self._worlds):
            for seat in () if self._finished[game] else world.due:
                ids, mask = describe(world, seat), world.mask(seat)
                self._facts[row, : len(ids)] = ids
                self._fact_counts[row] = len(ids)
                offered = self._all[seat] if mask is None else np.flatnonzero(mask)
                if not len(offered):
                    raise RuntimeError(f"{world.env} leaves {world.agents[seat]} no action")
                self._offers[row, : len(offered)] = self._choices[seat][offered]
                self._offer_counts[row] = len(offered)
                self._offered.append(offered)
                due_game.append(game)
                due_seat.append(seat)
                row += 1
        self.due_game = np.array(due_game, np.int32)
        self.due_seat = np.array(due_seat, np.int8)
        self.facts, self.fact_counts = self._facts[:row], self._fact_counts[:row]
        self.choices, self.choice_counts = self._offers[:row], self._offer_counts[:row]
        self.labels = self._labels[:row]

    def observe(self, seat: int) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        """What one seat of every game knows now, or knew when its part ended."""
        facts = np.full((self.num_games, self.max_facts), PAD, np.int16)
        counts = np.zeros(self.num_games, np.int16)
        for game, world in enumerate(self._worlds):
            if world.met(seat):
                ids = self._words.describe(world, seat)
                facts[game, : len(ids)], counts[game] = ids, len(ids)
        return facts, counts

    def state(self) -> dict[str, NDArray[np.generic]]:
        """The seeds and the actions of the episodes in progress."""
        played = [np.array(actions, np.int32) for actions in self._played]
        return {
            "book": np.array([crc32("\n".join(self.phrasebook).encode())], np.uint32),
            "seeds": self._seeds.copy(),
            "finished": self._finished.copy(),
            "returns": self._returns.copy(),
            "turns": self._turns.copy(),
            "steps": self._steps.copy(),
            "lengths": np.array([len(each) for each in played], np.int64),
            "actions": np.concatenate(played),
            "digests": self._digests(),
        }

    def _digests(self) -> NDArray[np.uint32]:
        """A checksum of what is shown of each game, uint32 [N]."""
        shown = [self.facts[self.due_game == game].tobytes() for game in range(self.num_games)]
        return np.array([crc32(facts) for facts in shown], np.uint32)

    def load_state(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Plays the saved episodes again, up to where they were.

        Raises:
            ValueError: if the arrays come from another setting or number of games, or the
                environment does not play the same again.
        """
        own = self.state()
        if set(arrays) != set(own):
            raise ValueError(f"state must hold {', '.join(own)}; got {', '.join(arrays)}")
        for name in own.keys() - {"actions"}:
            if arrays[name].shape != own[name].shape or arrays[name].dtype != own[name].dtype:
                raise ValueError(f"state {name!r} does not fit {self.num_games} games")
        if not np.array_equal(arrays["book"], own["book"]):
            raise ValueError("the state comes from another setting: its sentences are others")
        lengths = np.asarray(arrays["lengths"], np.int64)
        played = np.split(np.asarray(arrays["actions"], np.int64), np.cumsum(lengths)[:-1])
        self._worlds = [self._make() for _ in range(self.num_games)]
        self._played = [each.tolist() for each in played]
        self._seeds = np.array(arrays["seeds"], np.uint64)
        self._finished = np.array(arrays["finished"], bool)
        self._returns = np.array(arrays["returns"], np.float64)
        self._turns = np.array(arrays["turns"], np.int64)
        self._steps = np.array(arrays["steps"], np.int64)
        for game, world in enumerate(self._worlds):
            world.reset(int(self._seeds[game]))
            actions = iter(self._played[game])
            for _ in range(int(self._steps[game])):
                self._play(world, [next(actions) for _ in world.due])
        self._show()
        if not np.array_equal(self._digests(), arrays["digests"]):
            raise ValueError(
                f"{self._worlds[0].env} did not play the same again: it does not depend on its "
                "seed and the actions alone, so a run on it cannot be resumed"
            )
