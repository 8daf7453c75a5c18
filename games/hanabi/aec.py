"""Hanabi as a PettingZoo AEC environment that speaks text.

An observation is ``{"observation", "action_mask", "text"}``: the facts as ids padded with -1, the
legal actions as 0 / 1, and the facts as sentences, one a line. ``info["legal_actions"]`` holds the
sentence of every legal action, in the order of their numbers; a seat that is not to act has none.
Actions count in the reference engine's order: discards by slot, plays by slot, colour hints by
(offset, colour), rank hints by (offset, rank); slot 0 is the oldest card.
"""

from __future__ import annotations

import string
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from pettingzoo import AECEnv

from games.hanabi import phrases
from games.hanabi.batched import HanabiBatched
from games.hanabi.rules import configure
from games.text import PAD

Observation = dict[str, Any]


class HanabiEnv(AECEnv):
    """One game of Hanabi.

    Args:
        render_mode: None, "human" (print the table) or "ansi" (return it).
        **options: ``preset`` and the fields of ``HanabiConfig``.

    Raises:
        ValueError: if the render mode or an option is unknown, or a value is out of range.
    """

    metadata = {  # noqa: RUF012 (PettingZoo's convention)
        "name": "hanabi_text_v0",
        "render_modes": ["human", "ansi"],
        "is_parallelizable": False,
        "render_fps": 2,
    }

    def __init__(self, render_mode: str | None = None, **options: Any) -> None:
        if render_mode not in (None, "human", "ansi"):
            raise ValueError(f'render_mode must be None, "human" or "ansi", got {render_mode!r}')
        self.config = configure(**options)
        self.render_mode = render_mode
        self.possible_agents = [f"player_{seat}" for seat in range(self.config.players)]
        self.agents: list[str] = []
        self._seat = {agent: seat for seat, agent in enumerate(self.possible_agents)}
        self._batch = HanabiBatched(self.config, num_games=1, restart=False)
        self._number = {id: n for n, id in enumerate(phrases.moves(self.config).tolist())}
        self._actions: list[int] = []  # legal now, ascending
        self._random = np.random.default_rng()
        longest = max(map(len, phrases.PHRASEBOOK)) + 1
        self.observation_spaces = {
            agent: spaces.Dict(
                {
                    "observation": spaces.Box(
                        -1, phrases.FIRST_CHOICE - 1, (self._batch.max_facts,), np.int16
                    ),
                    "action_mask": spaces.Box(0, 1, (self.config.num_moves,), np.int8),
                    "text": spaces.Text(
                        self._batch.max_facts * longest, charset=frozenset(string.printable)
                    ),
                }
            )
            for agent in self.possible_agents
        }
        self.action_spaces = {
            agent: spaces.Discrete(self.config.num_moves) for agent in self.possible_agents
        }

    def observation_space(self, agent: str) -> spaces.Dict:
        """The space of one agent's observations, always the same object."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Discrete:
        """The space of one agent's actions, always the same object."""
        return self.action_spaces[agent]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Starts a game.

        Args:
            seed: of this game, the same as a batched game's; later calls without one go on from
                it. None at first: a random game.
            options: ``{"deck": [(colour, rank), ...]}`` fixes the whole deck, zero-based, dealt
                from the front, player 0's whole hand first. Other keys are ignored.

        Raises:
            ValueError: if the deck is not made of exactly the cards of the setting, or the seed
                is out of range.
        """
        if seed is None:
            game_seed = int(self._random.integers(2**64, dtype=np.uint64))
        elif 0 <= seed < 2**64:
            game_seed = seed
            self._random = np.random.default_rng(seed)
        else:
            raise ValueError(f"seed must be from 0 to 2**64 - 1, got {seed}")
        deck = (options or {}).get("deck")
        self._batch.reset(np.array([game_seed], np.uint64), None if deck is None else [deck])
        self.agents = self.possible_agents[:]
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos: dict[str, dict[str, Any]] = {
            agent: {"legal_actions": []} for agent in self.agents
        }
        self._pass_turn()

    def _pass_turn(self) -> None:
        """Points at the seat to act and lists what it may do."""
        batch = self._batch
        self.agent_selection = self.possible_agents[batch.seat[0]]
        choices = batch.choices[batch.choices != PAD].tolist()
        self._actions = [self._number[id] for id in choices]
        self.infos[self.agent_selection] = {"legal_actions": phrases.PHRASEBOOK.render(choices)}
        if self.render_mode == "human":
            self.render()

    def step(self, action: int | None) -> None:
        """Makes the selected agent's move; None for an agent that has ended.

        Raises:
            ValueError: if the action is not legal; nothing has changed then.
        """
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            self._was_dead_step(action)
            return
        if action not in self._actions:
            raise ValueError(
                f"action {action} of {agent} is not legal; legal actions are {self._actions}"
            )
        step = self._batch.step(np.array([self._actions.index(action)]))
        reward, over, cut = (
            float(step.rewards[0, 0]),
            bool(step.terminated[0, 0]),
            bool(step.truncated[0, 0]),
        )
        self._cumulative_rewards[agent] = 0.0
        self.infos[agent] = {"legal_actions": []}
        for each in self.agents:
            self.rewards[each] = reward
        self._accumulate_rewards()
        self._pass_turn()
        if over or cut:
            for each in self.agents:
                self.terminations[each] = over
                self.truncations[each] = cut
                self.infos[each] = {
                    "legal_actions": [],
                    "score": int(step.outcome["points"][0]),
                    "lost": bool(step.outcome["lost"][0]),
                }

    def _facts(self, agent: str) -> NDArray[np.int16]:
        """What an agent observes, ids padded with -1; a live row for the agent to act."""
        if self._seat[agent] in self._batch.due_seat:
            return self._batch.facts[0]
        return self._batch.observe(self._seat[agent])[0][0]

    def observe(self, agent: str) -> Observation:
        """What an agent knows now, whether or not it is to act."""
        facts = self._facts(agent)
        mask = np.zeros(self.config.num_moves, np.int8)
        if agent == self.agent_selection:
            mask[self._actions] = 1
        return {
            "observation": facts.copy(),
            "action_mask": mask,
            "text": "\n".join(phrases.PHRASEBOOK.render(facts)),
        }

    def render(self) -> str | None:
        """The table as the agent to act sees it, and what it may do."""
        agent = self.agent_selection
        facts = phrases.PHRASEBOOK.render(self._facts(agent))
        actions = self.infos.get(agent, {}).get("legal_actions", [])
        lines = [f"{agent} sees:", *(f"  {fact}" for fact in facts)]
        lines += [f"{agent} can do:", *(f"  {action}" for action in actions)]
        table = "\n".join(lines)
        if self.render_mode == "ansi":
            return table
        print(table)
        return None

    def close(self) -> None:
        """Nothing is held open."""


env = HanabiEnv
"""The entry point's usual name. No wrapper: the environment itself refuses illegal actions."""
