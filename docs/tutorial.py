"""The whole of Troupe in one file: a game, an agent, an actor, replay and a learner.

    python docs/tutorial.py

The parts come in the order in which data flows through them. The game is a small one of our own:
the *teller* sees which of four fruits is wanted and makes one of four sounds; the *hearer* hears
the sound, and picks a fruit. Both earn a point where the fruit is the right one. Nothing says what
a sound means: that is for the two to find out.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from agents.r3d2.agent import R3D2Agent
from agents.r3d2.config import R3D2Config
from games.core import Step
from games.text import Phrasebook
from marl.acting.actor import Actor, exploration_spectrum
from marl.acting.table import play
from marl.learning.config import LearnerConfig
from marl.learning.learner import Learner
from marl.learning.weights import LocalWeights
from marl.replay.limiter import Limiter
from marl.replay.prioritised import PrioritisedReplay, ReplayConfig

FRUITS, SOUNDS = ("apple", "banana", "cherry", "date"), ("ah", "bee", "coo", "dum")
SENTENCES = [
    *(f"the {fruit} is wanted" for fruit in FRUITS),  # facts 0 to 3, for the teller
    *(f"I hear {sound}" for sound in SOUNDS),  # facts 4 to 7, for the hearer
    *(f"I say {sound}" for sound in SOUNDS),  # choices 8 to 11
    *(f"I pick the {fruit}" for fruit in FRUITS),  # choices 12 to 15
]


class Whisper:
    """N games of two moves each. What every batched game offers is told in games/core.py."""

    phrasebook = Phrasebook(SENTENCES)
    num_players, roles, scoring, max_score = 2, ("teller", "hearer"), ("right",), 1.0
    max_facts, max_choices, max_turns, interchangeable = 1, 4, 1, ()
    fact_phrases, choice_phrases = np.arange(8, dtype=np.int16), np.arange(8, 16, dtype=np.int16)
    label_phrases = np.zeros((0, 0), np.int16)

    def __init__(self, num_games: int, seed: int = 0) -> None:
        self.num_games, self.seed = num_games, seed
        self.due_game = np.arange(num_games, dtype=np.int32)  # one seat of each game is due
        self.fact_counts = np.ones(num_games, np.int16)
        self.choice_counts = np.full(num_games, 4, np.int16)
        self.labels = np.zeros((num_games, 0), np.int8)
        self.reset()

    def reset(self, seeds: NDArray[np.uint64] | None = None) -> None:
        """Starts every game: a fruit is wanted, and it is the teller's turn."""
        self.rng = np.random.default_rng(self.seed if seeds is None else list(seeds))
        self.wanted = self.rng.integers(0, 4, self.num_games)
        self._show(0, self.wanted)

    def _show(self, seat: int, fact: NDArray[np.integer]) -> None:
        """Writes what the seat that is due sees and may do."""
        self.due_seat = np.full(self.num_games, seat, np.int8)
        self.facts = (4 * seat + fact)[:, None].astype(np.int16)
        self.choices = np.tile(np.arange(8, 12, dtype=np.int16) + 4 * seat, (self.num_games, 1))

    def step(self, move_index: NDArray[np.integer]) -> Step:
        """The teller's move, and then the hearer's, which ends the game and begins another."""
        hearing = bool(self.due_seat[0])
        right = (move_index == self.wanted) & hearing
        if hearing:
            self.wanted = self.rng.integers(0, 4, self.num_games)
        self._show(0 if hearing else 1, self.wanted if hearing else np.asarray(move_index))
        over = np.full(self.num_games, hearing)
        both = np.repeat(over[:, None], 2, axis=1)
        return Step(
            rewards=np.repeat(right[:, None], 2, axis=1).astype(np.float32),
            terminated=both,
            truncated=~both & False,
            over=over,
            elapsed=over.astype(np.int32),
            outcome={"right": right.astype(np.float32)},
        )

    def observe(self, seat: int) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        """What a seat knows: nothing unless it is due."""
        due = bool(self.due_seat[0] == seat)
        return np.where(due, self.facts, -1), np.full(self.num_games, due, np.int16)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Not saved here: a tutorial is short."""
        return {}

    def load_state(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Not saved here."""


def main(updates: int = 1500) -> float:
    """Trains, and returns the share of fruits that are picked right."""
    # 1. A game: many copies of it, advanced together.
    game = Whisper(num_games=64)

    # 2. An agent: it reads each sentence once per version of its weights, not once per observation.
    config = R3D2Config(hidden=64, memory=64, text_hidden=64)
    agent = R3D2Agent(config, game.phrasebook, seed=1)
    agent.admit(game.fact_phrases, game.choice_phrases)

    # 3. Replay: where sequences go, and where they are drawn from by priority.
    replay = PrioritisedReplay(ReplayConfig(capacity=4096), memory_size=agent.memory_size)
    limiter = Limiter(512, 4.0)  # learning and playing keep in step

    # 4. An actor: plays with the agent, explores, and inserts what every seat went through.
    def insert(episodes) -> None:  # type: ignore[no-untyped-def]
        replay.insert(episodes)
        limiter.inserted(len(episodes))

    actor = Actor(game, agent, insert, exploration_spectrum(64, base=0.4, spread=3.0), seed=2)

    # 5. A learner: n-step double Q-learning on sampled sequences; publishes its weights.
    weights = LocalWeights()
    learner = Learner(agent, replay, weights, LearnerConfig(batch=64, lanes=1, n_step=1))

    # 6. The loop. The agent that learns also plays here; in a run of several processes, weights
    #    are published and the players are elsewhere, and nothing else changes.
    while learner.updates < updates:
        if not limiter.can_sample():
            actor.step()
            continue
        limiter.sampled(64)
        metrics = learner.update()
        agent.forget()  # its tables were made with the weights before
        if learner.updates % 100 == 0:
            print(f"{learner.updates} updates  loss {metrics['loss']:.3f}")

    # 7. An evaluation: greedy, each game once.
    agent.eval()
    right = float(play(Whisper(1000, seed=9), [agent]).outcome["right"].mean())
    print(f"right: {right:.0%} (by chance: 25%)")
    return right


if __name__ == "__main__":
    main()
