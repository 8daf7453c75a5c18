"""The table: policies around a batch of games. Training, evaluation and cross-play all sit here.

The loop it serves::

    table = Table(game, [policy])
    while True:
        turn = table.choose()  # whoever is due asks the policy that holds the seat
        step = table.step(turn.choices)  # memories of seats whose episode ended are wiped
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.bots import Bot
from agents.core import Observations
from agents.r3d2.agent import R3D2Agent
from games.core import BatchedGame, Step
from games.settings import Setting
from games.text import Phrasebook, Translation
from marl.acting.guard import Guard
from marl.core import Policy
from marl.lanes import Lanes, available

AT_ONCE = 256
"""Games of a batch where many are played: enough for arithmetic to outweigh the calls."""


def observe(game: BatchedGame) -> Observations:
    """What the due seats observe, as live views."""
    return Observations(game.facts, game.fact_counts, game.choices, game.choice_counts)


def admit(agent: R3D2Agent, game: BatchedGame) -> None:
    """Tells an agent which sentences can occur in a game (see ``R3D2Agent.admit``).

    Raises:
        ValueError: if its phrasebook is closed and lacks one of them.
    """
    words = Translation(game.phrasebook, agent.phrasebook)
    phrases = (game.fact_phrases, game.choice_phrases, game.label_phrases)
    agent.admit(*(words(ids) for ids in phrases))


def observe_as(policy: Policy, game: BatchedGame) -> Observations:
    """What the due seats observe, in the words of a policy."""
    return translated(observe(game), translation(game, policy.phrasebook))


@dataclass(frozen=True)
class Turn:
    """What the due seats were told by their policies, R rows.

    Attributes:
        rows: int64 [R], the seat of each due row, counted through all games: game * P + seat.
        holders: int64 [R], which policy holds it.
        observations: what the due seats see, in the words of the table's book.
        choices: int64 [R], the greedy choice.
        values: float32 [R, C], expected returns, -inf where there is no choice.
        before: float32 [R, M], memory of the first policy's seats before this turn; zeros in the
            rows of others.
    """

    rows: NDArray[np.int64]
    holders: NDArray[np.int64]
    observations: Observations
    choices: NDArray[np.int64]
    values: NDArray[np.float32]
    before: NDArray[np.float32]


class Table:
    """Games, who holds which seat in them, and what everybody remembers.

    Each policy is called once a turn, with the rows of all the due seats that it holds, in the
    words of its own phrasebook. Every seat has a memory of its own, whoever holds the others.

    Args:
        game: the batch.
        policies: who may hold a seat.
        seating: int64 [N, P], the policy of each seat; None where the first one holds all. The
            table keeps it: writing into it reseats games, best when they begin.
        book: in whose words turns are told; None for those of the game.

    Raises:
        ValueError: if ``seating`` does not fit the batch or the policies.
    """

    def __init__(
        self,
        game: BatchedGame,
        policies: Sequence[Policy],
        seating: NDArray[np.int64] | None = None,
        book: Phrasebook | None = None,
    ) -> None:
        shape = (game.num_games, game.num_players)
        if seating is None:
            seating = np.zeros(shape, np.int64)
        if seating.shape != shape:
            raise ValueError(f"seating must have shape {shape}, got {tuple(seating.shape)}")
        if seating.min() < 0 or seating.max() >= len(policies):
            raise ValueError(f"seating must name policies from 0 to {len(policies) - 1}")
        self.game, self.policies, self.seating = game, tuple(policies), seating
        self._told = translation(game, book)
        self._read = [translation(game, policy.phrasebook) for policy in policies]
        seats = game.num_games * game.num_players
        self.memory = [np.zeros((seats, policy.memory_size), np.float32) for policy in policies]

    @property
    def rows(self) -> NDArray[np.int64]:
        """The seats that are due, counted through all games: int64 [R], game * P + seat."""
        game = self.game
        return game.due_game.astype(np.int64) * game.num_players + game.due_seat

    def choose(self, playing: NDArray[np.bool_] | None = None) -> Turn:
        """Asks the policies what the due seats are to do, and moves their memories on.

        Args:
            playing: bool [N], the games in which anybody is asked. In the others every due seat
                gets its first choice, which is always legal.
        """
        rows, shown = self.rows, observe(self.game)
        told = translated(shown, self._told)
        holders = self.seating.ravel()[rows]
        asked = None if playing is None or playing.all() else playing[self.game.due_game]
        before = np.zeros((len(rows), self.policies[0].memory_size), np.float32)
        choices = np.zeros(len(rows), np.int64)
        values = np.zeros(shown.choices.shape, np.float32)
        for k, policy in enumerate(self.policies):
            mine = holders == k
            if asked is not None:
                mine &= asked
            if not mine.any():
                continue
            which: Any = slice(None) if mine.all() else mine  # the usual case makes no copies
            memory = self.memory[k][rows[which]]
            seen = translated(shown[which], self._read[k])
            choices[which], values[which], self.memory[k][rows[which]] = policy.act(seen, memory)
            if k == 0:
                before[which] = memory
        return Turn(rows, holders, told, choices, values, before)

    def step(self, choices: NDArray[np.integer]) -> Step:
        """Makes the choices of the due seats, and wipes the memory of seats that have ended.

        Args:
            choices: integers [R].
        """
        step = self.game.step(choices)
        ended = np.flatnonzero(step.terminated | step.truncated)
        if len(ended):
            for memory in self.memory:
                memory[ended] = 0
        return step

    def state(self) -> dict[str, Any]:
        """Everything that the next turn depends on, as arrays."""
        memory = {str(k): memory for k, memory in enumerate(self.memory)}
        return {"game": self.game.state(), "memory": memory, "seating": self.seating}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continues from a ``state()``, bit for bit."""
        self.game.load_state(state["game"])
        for k, memory in enumerate(self.memory):
            memory[:] = state["memory"][str(k)]
        self.seating[:] = state["seating"]


def translation(game: BatchedGame, book: Phrasebook | None) -> Translation | None:
    """From a game's words to those of a book; None where they are the same."""
    if book is None:
        return None
    found = Translation(game.phrasebook, book)
    return None if found.is_identity else found


def translated(observations: Observations, words: Translation | None) -> Observations:
    """Observations in other words; as they are where there are none."""
    if words is None:
        return observations
    return replace(
        observations, facts=words(observations.facts), choices=words(observations.choices)
    )


@dataclass(frozen=True)
class Played:
    """What N games came to, in the order of their seeds.

    Attributes:
        outcome: float32 [N] by each name of the game's ``scoring``, as it stood at the end.
        returns: float32 [N, P], what each seat earned in all.
        truncated: bool [N], whether a limit cut the game off for anybody.
        turns: int32 [N], choices of all seats together.
    """

    outcome: dict[str, NDArray[np.float32]]
    returns: NDArray[np.float32]
    truncated: NDArray[np.bool_]
    turns: NDArray[np.int32]

    def __len__(self) -> int:
        """Number of games, N."""
        return len(self.turns)

    @staticmethod
    def joined(parts: Sequence[Played]) -> Played:
        """The games of several, one after the other; at least one part."""
        return Played(
            {
                name: np.concatenate([part.outcome[name] for part in parts])
                for name in parts[0].outcome
            },
            *(
                np.concatenate([getattr(part, name) for part in parts])
                for name in ("returns", "truncated", "turns")
            ),
        )


class StoppedError(Exception):
    """Games were stopped before all of them had ended.

    Attributes:
        played: the first ones, as far as whole batches have ended; None where not even the first
            has. Single games that have ended are not among them: those would be the short ones.
    """

    def __init__(self, played: Played | None = None) -> None:
        super().__init__(f"stopped after {len(played or ())} games")
        self.played = played


def never() -> bool:
    """Nobody stops what is played."""
    return False


def play(
    game: BatchedGame,
    policies: Sequence[Policy],
    seating: NDArray[np.int64] | None = None,
    on_end: Callable[[int], None] = lambda games: None,
    stop: Callable[[], bool] = never,
) -> Played:
    """Plays the first episode of every game, greedily.

    Only the first one counts. Counting whatever ends within a number of steps would favour short
    games, and in Hanabi short games are the lost ones.

    Args:
        game: the batch, just begun; finished games restart and play on, uncounted.
        policies: who may hold a seat.
        seating: int64 [N, P], the policy of each seat; None where the first one holds all.
        on_end: told how many games have ended, at every step that ends any.
        stop: asked before every step whether to stop.

    Raises:
        ValueError: if ``seating`` does not fit the batch or the policies.
        StoppedError: if it was to stop before all games had ended.
    """
    table, n = Table(game, policies, seating), game.num_games
    outcome = {name: np.zeros(n, np.float32) for name in game.scoring}
    returns = np.zeros((n, game.num_players), np.float32)
    truncated, turns = np.zeros(n, np.bool_), np.zeros(n, np.int32)
    playing = np.ones(n, np.bool_)
    while playing.any():
        if stop():
            raise StoppedError
        turns += np.bincount(game.due_game, minlength=n).astype(np.int32) * playing
        step = table.step(table.choose(playing).choices)
        returns[playing] += step.rewards[playing]
        truncated |= step.truncated.any(1) & playing
        over = step.over & playing
        if over.any():
            for name, values in outcome.items():
                values[over] = step.outcome[name][over]
            playing &= ~over
            on_end(int(over.sum()))
    return Played(outcome, returns, truncated, turns)


def play_many(
    setting: Setting,
    policies: Sequence[Policy],
    games: int,
    seed: int,
    seating: NDArray[np.int64] | None = None,
    *,
    at_once: int = AT_ONCE,
    on_end: Callable[[int], None] = lambda games: None,
    stop: Callable[[], bool] = never,
    one: BatchedGame | None = None,
) -> Played:
    """Plays games of a setting in batches, as many side by side as there are processors.

    What a batch holds does not depend on the machine, so neither do the games.

    Args:
        setting: what is played.
        policies: who may hold a seat.
        games: how many, N.
        seed: of the first game; the others count up from it.
        seating: int64 [N, P], the policy of each seat; None where the first one holds all.
        at_once: games in a batch.
        on_end: told how many games have ended, from whatever thread ended them.
        stop: asked before every step whether to stop, from whatever thread makes it.
        one: a batch of the setting to look at, if there is one already; it is left as it is.

    Raises:
        ValueError: if ``seating`` does not fit the games or the policies.
        StoppedError: if it was to stop before all games had ended; it holds those that had.
    """
    one = one or setting.batched(1)
    players = [policy.policy if isinstance(policy, Guard) else policy for policy in policies]
    for policy in players:
        if isinstance(policy, R3D2Agent):
            # What is known, and computed, beforehand does not change while several play.
            admit(policy, one)
            policy.current()
    # Others belong to a thread, or nobody knows; and a book that grows is written by one.
    alike = all(isinstance(policy, R3D2Agent | Bot) for policy in players)
    lanes = Lanes(available() if alike and one.phrasebook.closed else 1)

    failed = threading.Event()  # One batch, or the caller was interrupted: the others end, too.

    def over() -> bool:
        return failed.is_set() or stop()

    def part(first: int) -> Played | None:
        if over():
            return None
        last = min(first + at_once, games)
        seats = None if seating is None else seating[first:last]
        try:
            return play(setting.batched(last - first, seed + first), policies, seats, on_end, over)
        except StoppedError:
            return None
        except BaseException:
            failed.set()
            raise

    try:
        parts = lanes.map(part, range(0, games, at_once))
    finally:
        failed.set()
    whole = list[Played]()
    for batch in parts:
        if batch is None:
            raise StoppedError(Played.joined(whole) if whole else None)
        whole.append(batch)
    return Played.joined(whole)
