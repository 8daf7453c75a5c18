"""What the AEC and the Parallel environment share: a game, its agents and spaces, what is said."""

from __future__ import annotations

import inspect
import string
from collections import Counter
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from games.core import BatchedGame

Observation = dict[str, Any]

_LONGEST = 200
"""Characters of a sentence, at most, where the phrasebook is open."""


class Table:
    """One game, its agents and spaces: what both kinds of environment share.

    Args:
        game: a batch of one game that does not restart by itself.
        render_mode: None, "human" (print the table) or "ansi" (return it).

    Raises:
        ValueError: if the render mode is unknown, or there is not one game.
    """

    possible_agents: list[str]
    agents: list[str]

    def __init__(self, game: BatchedGame, render_mode: str | None = None) -> None:
        if render_mode not in (None, "human", "ansi"):
            raise ValueError(f'render_mode must be None, "human" or "ansi", got {render_mode!r}')
        if game.num_games != 1:
            raise ValueError(f"an environment is one game, got a batch of {game.num_games}")
        self.game = game
        self.render_mode = render_mode
        # No name tells anything that the class attribute of PettingZoo's convention would not.
        self.metadata = {
            "name": "troupe_text_v0",
            "render_modes": ["human", "ansi"],
            "is_parallelizable": False,
            "render_fps": 2,
        }
        self.possible_agents = agent_names(game.roles)
        self.agents = []
        self._begun = False
        self._seat = {agent: seat for seat, agent in enumerate(self.possible_agents)}
        self._row: dict[int, int] = {}  # of each due seat
        self._random = np.random.default_rng()
        taken = inspect.signature(game.reset).parameters
        self._reset_options = [name for name in taken if name != "seeds"]
        closed = game.phrasebook.closed
        # The number of each choice's action, by its id; none where there may be new choices.
        self._number = np.full(len(game.phrasebook) if closed else 0, -1)
        self._num_actions = len(game.choice_phrases) if closed else game.max_choices
        if closed:
            self._number[game.choice_phrases] = np.arange(self._num_actions)
        self._legal_now = np.zeros(0, np.int64)  # of the agent that is asked
        self._spaces = {agent: self._make_spaces() for agent in self.possible_agents}

    def _make_spaces(self) -> tuple[spaces.Dict, spaces.Discrete]:
        book, most = self.game.phrasebook, self.game.max_facts
        highest = len(book) - 1 if book.closed else np.iinfo(np.int16).max
        longest = max(map(len, book)) if book.closed else _LONGEST
        facts = spaces.Dict(
            {
                "observation": spaces.Box(-1, highest, (most,), np.int16),
                "action_mask": spaces.Box(0, 1, (self._num_actions,), np.int8),
                "text": spaces.Text(
                    max(1, most * (longest + 1)),
                    min_length=0,
                    charset=frozenset(string.printable),
                ),
            }
        )
        return facts, spaces.Discrete(self._num_actions)

    def observation_space(self, agent: str) -> spaces.Dict:
        """The space of one agent's observations, always the same object."""
        return self._spaces[agent][0]

    def action_space(self, agent: str) -> spaces.Discrete:
        """The space of one agent's actions, always the same object."""
        return self._spaces[agent][1]

    @property
    def observation_spaces(self) -> dict[str, spaces.Dict]:
        """The space of every agent's observations."""
        return {agent: pair[0] for agent, pair in self._spaces.items()}

    @property
    def action_spaces(self) -> dict[str, spaces.Discrete]:
        """The space of every agent's actions."""
        return {agent: pair[1] for agent, pair in self._spaces.items()}

    def _restart(self, seed: int | None, options: dict[str, Any] | None) -> None:
        """Starts a game, and goes on to where somebody has to choose."""
        if seed is None:
            game_seed = int(self._random.integers(2**64, dtype=np.uint64))
        elif 0 <= seed < 2**64:
            game_seed = seed
            self._random = np.random.default_rng(seed)
        else:
            raise ValueError(f"seed must be from 0 to 2**64 - 1, got {seed}")
        wanted = {f"{name}s": [value] for name, value in (options or {}).items()}
        kept = {name: wanted[name] for name in self._reset_options if name in wanted}
        self.game.reset(np.array([game_seed], np.uint64), **kept)
        self.agents = self.possible_agents[:]
        self._begun = True
        self._find_due()

    def _check_begun(self, call: str) -> None:
        """Raises RuntimeError where there has been no game yet."""
        if not self._begun:
            raise RuntimeError(f"there is no game yet: call reset() before {call}()")

    def _find_due(self) -> list[int]:
        """The seats that have to choose."""
        due: list[int] = self.game.due_seat.tolist()
        self._row = {seat: row for row, seat in enumerate(due)}
        return due

    def _legal(self, row: int) -> tuple[NDArray[np.int64], list[str]]:
        """The actions of a due row, ascending numbers, and their sentences."""
        game = self.game
        ids = game.choices[row, : game.choice_counts[row]]
        numbers = self._number[ids] if len(self._number) else np.arange(len(ids))
        return numbers, game.phrasebook.render(ids)

    def _tell(self, seat: int, legal: NDArray[np.int64] | None) -> Observation:
        """What a seat observes, with a mask of what it may do."""
        game, row = self.game, self._row.get(seat)
        if row is None:
            facts, counts = game.observe(seat)
            ids, count = facts[0], counts[0]
        else:
            ids, count = game.facts[row].copy(), game.fact_counts[row]
        mask = np.zeros(self._num_actions, np.int8)
        if legal is not None:
            mask[legal] = 1
        return {
            "observation": ids,
            "action_mask": mask,
            "text": "\n".join(game.phrasebook.render(ids[:count])),
        }

    def _index(self, agent: str, action: object, numbers: NDArray[np.int64]) -> int:
        legal: list[object] = numbers.tolist()
        try:
            return legal.index(action)
        except ValueError:
            raise ValueError(
                f"action {action} of {agent} is not legal; legal actions are {legal}"
            ) from None

    def _show(self, agents: list[str]) -> str | None:
        """The table as some agents see it, and what they may do, printed or returned."""
        lines: list[str] = []
        for agent in agents:
            seat = self._seat[agent]
            row = self._row.get(seat)
            facts = self._tell(seat, None)["text"].splitlines()
            actions = [] if row is None else self._legal(row)[1]
            lines += [f"{agent} sees:", *(f"  {fact}" for fact in facts)]
            lines += [f"{agent} can do:", *(f"  {action}" for action in actions)]
        table = "\n".join(lines)
        if self.render_mode == "ansi":
            return table
        print(table)
        return None

    def close(self) -> None:
        """Nothing is held open."""


def agent_names(roles: tuple[str, ...]) -> list[str]:
    """Agents by role and number, such as ``player_0``, a name for each seat."""
    met: Counter[str] = Counter()
    names = []
    for role in roles:
        names.append(f"{role.replace(' ', '_')}_{met[role]}")
        met[role] += 1
    return names
