"""Who plays a world through a pool: asks at every turn, plays what has come, and waits for nothing.

The loop of ``marl.remote.realtime``, in real time with a real pool or in virtual time::

    player = Player(client, FixedAge())              # or VirtualPool(...) for a client
    pilot = Pilot(world, player, policy)
    for turn in clock:
        step = pilot.turn(turn)

What an agent is told of its own choices that are on their way (``Told``):

- ``nothing``;
- ``answered``: those that have come back from the pool. In a staggered pool that is little more
  than the one that acts now: the others are being inferred when the next observation goes out;
- ``foreseen``: all of them. What has not come back is guessed by a *draft* agent beside the loop,
  small enough to answer within a turn, and replaced by the answer when it comes. If the draft is
  the agent itself (in virtual time, where that is free), it knows everything that is on its way.
  An answer that is late is replaced by what was foreseen, so that what was told comes true.

What was done is kept by a ``Recorder``, for whoever wants to learn from it.

What an agent remembers (``Memory``): ``newest`` sends the memory of the newest answer, which has
not seen the turns since; ``replayed`` sends those turns along, and the worker reads them first, so
that the memory is as new as the observation.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from agents.core import Observations
from games.core import Step
from games.gameboy.pace import Pacer
from games.text import Phrasebook, Translation
from games.world import World
from marl.acting.recorder import Recorder
from marl.core import Policy
from marl.remote.policy import request
from transport.client import Reply
from transport.realtime import Player

Told = Literal["nothing", "answered", "foreseen"]
Memory = Literal["newest", "replayed"]
MOST_PAST = 128
"""Turns that are sent along at most."""
MOST_WAITING = 1000
"""Turns that an answer waits to be played at most."""


class Reader(Protocol):
    """What has to be known of who answers (a ``Policy``, a ``RemotePolicy``)."""

    memory_size: int

    @property
    def phrasebook(self) -> Phrasebook | None:
        """The sentences behind the ids that it reads; None for those of any game."""
        ...


class _Chosen(NamedTuple):
    """What all seats have chosen: at which turn it was seen, phrases, and by which weights."""

    saw: int
    choices: NDArray[np.int16]
    version: int


class Pilot:
    """One policy in all seats of a world.

    Args:
        world: what is played; where it restarts, so does the memory.
        player: asks the pool and plays its answers.
        reader: who answers.
        told: what is said of choices on their way.
        draft: who guesses them, for ``foreseen``.
        memory: which memory is sent.
        sequential: whether it is asked only when nothing is on its way: when its last choice acts,
            or, if it is told nothing, when that has acted.
        recorder: keeps what was seen, chosen and applied; of this world. What a draft chose has no
            version (-1).

    Attributes:
        rewards: what the first seat has earned.
        guessed: turns at which what the draft had foreseen was played, for want of the answer.

    Raises:
        ValueError: if ``foreseen`` has no draft.
    """

    def __init__(
        self,
        world: World,
        player: Player,
        reader: Reader,
        *,
        told: Told = "answered",
        draft: Policy | None = None,
        memory: Memory = "replayed",
        sequential: bool = False,
        recorder: Recorder | None = None,
    ) -> None:
        if told == "foreseen" and draft is None:
            raise ValueError("choices on their way are foreseen by a draft agent: give one")
        self.world, self.rewards, self.guessed = world, 0.0, 0
        self._player, self._told, self._sequential = player, told, sequential
        self._draft = draft if told == "foreseen" else None
        self._recorder = recorder
        self._memory_size, self._replays = reader.memory_size, memory == "replayed"
        self._words = _words(world, reader)
        self._draft_words = None if self._draft is None else _words(world, self._draft)
        self._asked: dict[int, NDArray[np.int16]] = {}  # by turn, what each seat could choose
        self._answers: dict[int, _Chosen] = {}  # by turn
        self._age = 1
        self._forget(0)

    def _forget(self, turn: int) -> None:
        """A game begins: what was seen of the last one means nothing."""
        seats = self.world.game.num_players
        self._began = turn  # Answers to earlier ones are passed over.
        # By the turn at which it is due, what each seat is to choose, as far as that is known.
        self._plan: dict[int, _Chosen] = {}
        self._answers.clear()
        self._memory = np.zeros((seats, self._memory_size), np.float32)
        self._remembers = turn - 1  # the last turn that the memory has seen
        self._past: deque[tuple[int, Observations]] = deque(maxlen=MOST_PAST)
        if self._draft is not None:
            self._draft_memory = np.zeros((seats, self._draft.memory_size), np.float32)

    def turn(
        self, turn: int, pacer: Pacer | None = None, show: Callable[[], None] | None = None
    ) -> Step:
        """Lets a turn go by.

        Args:
            turn: 0, 1, ...
            pacer: who waits before each frame; None in virtual time.
            show: called before each frame that is paced.

        Returns:
            what the turn brought.
        """
        reply = self._player.play(turn)
        chosen = self._hear(turn, reply)
        if not self._sequential or self._may_ask(chosen):
            self._ask(turn, chosen)
        choices = [None] * len(self._memory) if chosen is None else chosen.choices.tolist()
        step = self.world.advance(choices, pacer, show)
        self.rewards += float(step.rewards[0, 0])
        if self._recorder is not None:
            if chosen is not None:
                applied = self.world.applied
                self._recorder.apply(turn, chosen.saw, choices, applied, chosen.version)
            self._recorder.reward(step)
        if step.over[0]:
            self._forget(turn + 1)
        return step

    def _hear(self, turn: int, played: Reply | None) -> _Chosen | None:
        """Takes in what has come back; returns what is to be played, of each seat."""
        chosen = None
        for reply in self._player.outcomes:
            offered = self._asked.pop(reply.frame, None)
            if offered is None or reply.frame < self._began:
                continue
            if reply.dropped or reply.error:
                continue
            index = np.asarray(reply.tensors["choices"])[:, None]
            choices = np.take_along_axis(offered, index, 1)[:, 0]
            answer = self._answers[reply.frame] = _Chosen(reply.frame, choices, reply.version)
            if reply.due >= 0:
                self._plan[reply.due] = answer
            if reply.frame > self._remembers and self._memory_size:
                self._remembers = reply.frame
                self._memory = np.array(reply.tensors["memory"])
        if played is not None and played.frame >= self._began:
            chosen = self._answers[played.frame]
            self._age = turn - played.frame
        elif turn in self._plan:
            chosen = self._plan[turn]
            self.guessed += 1
        for due in [due for due in self._plan if due <= turn]:
            del self._plan[due]
        for seen in [seen for seen in self._answers if seen < turn - MOST_WAITING]:
            del self._answers[seen]
        return chosen

    def _may_ask(self, chosen: _Chosen | None) -> bool:
        """Whether nothing is on its way; what acts now is, for who is not told of it."""
        return not self._asked and (self._told != "nothing" or chosen is None)

    def _ask(self, turn: int, chosen: _Chosen | None) -> None:
        """Asks about what is seen now."""
        due = self._player.due(turn)
        ahead = due - turn if due >= 0 else self._age
        pending: list[list[int]] = [[] for _ in self._memory]
        if self._told != "nothing":
            pending = [self._on_the_way(seat, turn, ahead, chosen) for seat in range(len(pending))]
        seen = self.world.observe(pending, ahead)
        if not len(seen["facts"]):
            return
        if self._recorder is not None:
            self._recorder.see(turn, seen)
        shown = _translated(seen, self._words)
        past = []
        if self._replays and self._memory_size:
            past = [before for at, before in self._past if at > self._remembers]
            self._past.append((turn, shown))
        self._asked[turn] = seen["choices"]
        self._player.observe(turn, request(shown, self._memory, past))
        if self._draft is not None and due >= 0:
            guessed, _, self._draft_memory = self._draft.act(
                _translated(seen, self._draft_words), self._draft_memory
            )
            choices = np.take_along_axis(seen["choices"], guessed[:, None], 1)[:, 0]
            self._plan[due] = _Chosen(turn, choices, -1)

    def _on_the_way(self, seat: int, turn: int, ahead: int, chosen: _Chosen | None) -> list[int]:
        """Phrases of what a seat does from this turn on, as far as it is known."""
        idle = self.world.game.idle
        known = [chosen, *(self._plan.get(due) for due in range(turn + 1, turn + ahead))]
        return [idle if one is None else int(one.choices[seat]) for one in known]


def _words(world: World, reader: Reader) -> Translation | None:
    if reader.phrasebook is None:
        return None
    words = Translation(world.game.phrasebook, reader.phrasebook)
    return None if words.is_identity else words


def _translated(seen: dict[str, NDArray[np.int16]], words: Translation | None) -> Observations:
    facts: Any = seen["facts"] if words is None else words(seen["facts"])
    choices: Any = seen["choices"] if words is None else words(seen["choices"])
    return Observations(facts, seen["fact_counts"], choices, seen["choice_counts"])
