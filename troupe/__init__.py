"""Troupe's public face: agents that cooperate, and the games that they play.

What stands here is stable; everything below may be used as well, and may change::

    import troupe

    env = troupe.make("hanabi", players=2)  # a PettingZoo environment
    agent = troupe.load("hanabi-2p")  # who plays in it
    env.reset(seed=1)
    for seat in env.agent_iter():
        observation, reward, terminated, truncated, info = env.last()
        over = terminated or truncated
        env.step(None if over else agent.act(observation, info, seat=seat))
    print(info["score"])
"""

from __future__ import annotations

from importlib import metadata

from games import batched, make, make_parallel
from troupe.agent import Agent, load, names
from troupe.matches import crossplay, evaluate

__version__ = metadata.version("troupe")

__all__ = ["Agent", "batched", "crossplay", "evaluate", "load", "make", "make_parallel", "names"]
