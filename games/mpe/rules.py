"""The games of the multi-agent particle environments (MPE), and their options.

Points with mass move on a plane without edges. The games, their physics and their rewards are those
of the package ``mpe2`` (Lowe et al., "Multi-agent actor-critic for mixed cooperative-competitive
environments", 2017; Mordatch and Abbeel, "Emergence of grounded compositional language in
multi-agent populations", 2018), with its discrete actions:

- *simple-reference*: two movers, three landmarks. Each sees where the other has to go, and can say
  one of ten words a step. A seat's reward is the other's distance from its goal, negative.
- *simple-speaker-listener*: the speaker sees the goal and says one of three words, the listener
  sees the landmarks and moves. Both earn its squared distance from the goal, negative.
- *simple-spread*: as many landmarks as movers. All earn the distances of each landmark from the
  nearest mover, negative, and a mover pays for each other that it touches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

REFERENCE, SPEAKER_LISTENER, SPREAD = range(3)
"""Which game it is, in kernels."""

NAMES = ("simple-reference", "simple-speaker-listener", "simple-spread")
"""The games by name, in the same order."""

MAX_PLAYERS = 6
LANDMARKS = 3
"""Landmarks of the two games in which one of them is a goal."""
MOVES = 5
"""Ways to move: not at all, west, east, south, north."""
WORDS = (10, 3, 0)
"""Words that can be said in each game."""

_OWN: dict[str, tuple[int, ...]] = {
    "local_ratio": (REFERENCE, SPREAD),
    "chained": (REFERENCE,),
    "terminate_on_success": (SPREAD,),
    "collision_penalty": (SPREAD,),
    "num_agent_neighbors": (SPREAD,),
    "num_landmark_neighbors": (SPREAD,),
}
"""Options that not every game has."""


@dataclass(frozen=True)
class MpeConfig:
    """A setting of one of the games. Options are called what ``mpe2`` calls them.

    Attributes:
        game: REFERENCE, SPEAKER_LISTENER or SPREAD.
        players: seats.
        max_cycles: steps of an episode.
        local_ratio: share of a seat's reward that is its own; the rest is the team's.
        chained: whether a mover that can speak first chooses what to say and then how to move, in
            two turns with no time between them; else each pair of the two is one choice, as in
            ``mpe2``.
        terminate_on_success: whether an episode ends when each landmark has a mover within 0.1.
        collision_penalty: whether touching costs anything (``mpe2``: false in stage 0 of its
            curriculum).
        num_agent_neighbors: how many partners a mover sees, the nearest ones; None for all.
        num_landmark_neighbors: how many landmarks it sees.

    Raises:
        ValueError: if a value is out of range.
    """

    game: int
    players: int
    max_cycles: int = 25
    local_ratio: float = 0.5
    chained: bool = False
    terminate_on_success: bool = False
    collision_penalty: bool = True
    num_agent_neighbors: int | None = None
    num_landmark_neighbors: int | None = None

    def __post_init__(self) -> None:
        numbers = range(2, MAX_PLAYERS + 1) if self.game == SPREAD else (2,)
        if self.players not in numbers:
            known = ", ".join(map(str, numbers))
            raise ValueError(f"{self.name} is played by {known} players, got {self.players}")
        if not _whole(self.max_cycles) or not 1 <= self.max_cycles < 2**30:
            raise ValueError(f"max_cycles must be a whole number from 1, got {self.max_cycles}")
        if isinstance(self.local_ratio, bool | str) or not 0 <= self.local_ratio <= 1:
            raise ValueError(f"local_ratio must lie between 0 and 1, got {self.local_ratio}")
        for name in ("chained", "terminate_on_success", "collision_penalty"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be true or false, got {getattr(self, name)}")
        for name in ("num_agent_neighbors", "num_landmark_neighbors"):
            value = getattr(self, name)
            if value is not None and (not _whole(value) or value < 1):
                raise ValueError(f"{name} must be at least 1, or none for all, got {value}")

    @property
    def name(self) -> str:
        """The game's name."""
        return NAMES[self.game]

    @property
    def roles(self) -> tuple[str, ...]:
        """The role of each seat."""
        if self.game == SPEAKER_LISTENER:
            return ("speaker", "listener")
        return ("mover",) * self.players

    @property
    def landmarks(self) -> int:
        """Landmarks on the plane."""
        return self.players if self.game == SPREAD else LANDMARKS

    @property
    def words(self) -> int:
        """Words that can be said."""
        return WORDS[self.game]

    @property
    def seen_landmarks(self) -> int:
        """Landmarks that a mover sees."""
        return min(self.landmarks, self.num_landmark_neighbors or self.landmarks)

    @property
    def seen_partners(self) -> int:
        """Partners of whom a mover sees where they are."""
        if self.game != SPREAD:
            return 0
        return min(self.players - 1, self.num_agent_neighbors or self.players)


def configure(name: str, players: int, options: Mapping[str, Any]) -> MpeConfig:
    """The setting of a game with options.

    Args:
        name: one of ``NAMES``.
        players: seats.
        options: fields of ``MpeConfig``, those that the game has.

    Raises:
        ValueError: if an option is unknown, belongs to another game, or is out of range.
    """
    if name not in NAMES:
        raise ValueError(f"there is no particle game {name!r}: choose from {', '.join(NAMES)}")
    game = NAMES.index(name)
    known = [
        field.name
        for field in fields(MpeConfig)[2:]
        if game in _OWN.get(field.name, (REFERENCE, SPEAKER_LISTENER, SPREAD))
    ]
    for option in options:
        if option not in known:
            raise ValueError(f"{name} has no option {option!r}; it has {', '.join(known)}")
    return MpeConfig(game, players, **options)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
