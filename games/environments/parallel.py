"""A game as a PettingZoo Parallel environment."""

from __future__ import annotations

from typing import Any

import numpy as np
from pettingzoo import ParallelEnv

from games.environments.table import Observation, Table


class TextParallel(Table, ParallelEnv):
    """One game, every agent at once. The actions of agents that are not due are ignored.

    Args:
        game: a batch of one game that does not restart by itself.
        render_mode: None, "human" (print the table) or "ansi" (return it).

    Raises:
        ValueError: if the render mode is unknown, or there is not one game.
    """

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Observation], dict[str, dict[str, Any]]]:
        """Starts a game; see ``TextAEC.reset``.

        Returns:
            The observation and the info of every agent.
        """
        self._restart(seed, options)
        if self.render_mode == "human":
            self.render()
        return self._look()

    def _look(self) -> tuple[dict[str, Observation], dict[str, dict[str, Any]]]:
        observations, infos = {}, {}
        for agent in self.agents:
            seat = self._seat[agent]
            row = self._row.get(seat)
            legal, sentences = (None, []) if row is None else self._legal(row)
            observations[agent] = self._tell(seat, legal)
            infos[agent] = {"legal_actions": sentences}
        return observations, infos

    def step(
        self, actions: dict[str, Any]
    ) -> tuple[
        dict[str, Observation],
        dict[str, float],
        dict[str, bool],
        dict[str, bool],
        dict[str, dict[str, Any]],
    ]:
        """Makes the choices of all agents that are due.

        Args:
            actions: by agent.

        Raises:
            RuntimeError: if the environment was never reset.
            ValueError: if a due agent's action is missing or not legal; nothing has changed then.
        """
        self._check_begun("step")
        if not self.agents:
            return {}, {}, {}, {}, {}
        chosen = [
            self._index(agent, actions.get(agent), self._legal(row)[0])
            for seat, row in self._row.items()
            for agent in (self.possible_agents[seat],)
        ]
        step = self.game.step(np.array(chosen, np.int64))
        rewards, over = step.rewards[0], bool(step.over[0])
        terminated, truncated = step.terminated[0].copy(), step.truncated[0].copy()
        self._find_due()
        observations, infos = self._look()
        for agent in self.agents:
            seat = self._seat[agent]
            if over and not (terminated[seat] or truncated[seat]):
                truncated[seat] = not step.terminated.any()
                terminated[seat] = not truncated[seat]
            if terminated[seat] or truncated[seat]:
                infos[agent] |= {name: float(v[0]) for name, v in step.outcome.items()}
        told = [(agent, self._seat[agent]) for agent in self.agents]
        self.agents = [agent for agent, seat in told if not (terminated[seat] or truncated[seat])]
        if self.render_mode == "human":
            self.render()
        return (
            observations,
            {agent: float(rewards[seat]) for agent, seat in told},
            {agent: bool(terminated[seat]) for agent, seat in told},
            {agent: bool(truncated[seat]) for agent, seat in told},
            infos,
        )

    def render(self) -> str | None:
        """The table as the agents to act see it, and what they may do."""
        self._check_begun("render")
        return self._show([self.possible_agents[seat] for seat in self._row])
