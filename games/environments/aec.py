"""A game as a PettingZoo AEC environment."""

from __future__ import annotations

from typing import Any

import numpy as np
from pettingzoo import AECEnv

from games.core import Step
from games.environments.table import Observation, Table


class TextAEC(Table, AECEnv):
    """One game, one agent at a time. Seats that are due at once act in the order of the table.

    Args:
        game: a batch of one game that does not restart by itself.
        render_mode: None, "human" (print the table) or "ansi" (return it).

    Raises:
        ValueError: if the render mode is unknown, or there is not one game.
    """

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Starts a game.

        Args:
            seed: of this game, the same as a batched game's; later calls without one go on from
                it. None at first: a random game.
            options: the game's own for a reset, such as Hanabi's ``{"deck": [(colour, rank),
                ...]}``; others are ignored.

        Raises:
            ValueError: if the seed is out of range, or an option is refused by the game.
        """
        self._restart(seed, options)
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos: dict[str, dict[str, Any]] = {
            agent: {"legal_actions": []} for agent in self.agents
        }
        self._skip_agent_selection = None
        self._start_round()

    def _start_round(self) -> None:
        """Begins to ask the seats that are due."""
        self._due = self._find_due()
        self._chosen: list[int] = []
        while not self._due:  # a world in which nobody's moment has come
            step = self.game.step(np.zeros(0, np.int64))
            self._earn(step)
            if True in step.over.tolist():
                return
            self._due = self._find_due()
        self._ask()

    def _ask(self) -> None:
        """Points at the next due agent and lists what it may do."""
        seat = self._due[len(self._chosen)]
        self.agent_selection = agent = self.possible_agents[seat]
        self._legal_now, sentences = self._legal(self._row[seat])
        self.infos[agent] = {"legal_actions": sentences}
        if self.render_mode == "human":
            self.render()

    def step(self, action: int | None) -> None:
        """Makes the selected agent's choice; None for an agent that has ended.

        Raises:
            RuntimeError: if the environment was never reset.
            ValueError: if the action is not legal; nothing has changed then.
        """
        self._check_begun("step")
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            self._was_dead_step(action)
            return
        self._chosen.append(self._index(agent, action, self._legal_now))
        self._cumulative_rewards[agent] = 0.0
        self.infos[agent] = {"legal_actions": []}
        if len(self._chosen) < len(self._due):
            self._clear_rewards()
            self._ask()
            return
        self._clear_rewards()
        over, ended = self._earn(self.game.step(np.array(self._chosen)))
        if over:
            self._row = {}
        else:
            self._start_round()
        if over or ended:
            self._deads_step_first()

    def _earn(self, step: Step) -> tuple[bool, bool]:
        """Hands out what a step brought. Returns whether all is over, and whether for some."""
        rewards = step.rewards[0].tolist()
        for agent in self.agents:
            reward = rewards[self._seat[agent]]
            self.rewards[agent] += reward
            self._cumulative_rewards[agent] += reward
        over = bool(step.over[0])
        terminated, truncated = step.terminated[0].tolist(), step.truncated[0].tolist()
        ended = True in terminated or True in truncated
        if over or ended:
            outcome = {name: float(values[0]) for name, values in step.outcome.items()}
            for agent in self.agents:
                seat = self._seat[agent]
                self.truncations[agent] |= truncated[seat] or (over and True not in terminated)
                self.terminations[agent] |= terminated[seat] or (
                    over and not self.truncations[agent]
                )
                if self.terminations[agent] or self.truncations[agent]:
                    self.infos[agent] = {"legal_actions": [], **outcome}
        return over, ended

    def last(
        self, observe: bool = True
    ) -> tuple[Observation | None, float, bool, bool, dict[str, Any]]:
        """Observation, reward since its last turn, ends and info of the agent to act."""
        self._check_begun("last")
        told: tuple[Observation | None, float, bool, bool, dict[str, Any]] = super().last(observe)
        return told

    def observe(self, agent: str) -> Observation:
        """What an agent knows now, whether or not it is to act."""
        self._check_begun("observe")
        acts = agent == self.agent_selection and self._seat[agent] in self._row
        return self._tell(self._seat[agent], self._legal_now if acts else None)

    def render(self) -> str | None:
        """The table as the agent to act sees it, and what it may do."""
        self._check_begun("render")
        return self._show([self.agent_selection])
