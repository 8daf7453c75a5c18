"""Social dilemmas: games in which what is good for one is bad for all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from games.options import configure
from games.simultaneous import Simultaneous
from games.social.escape_room import EscapeRoomBatched, EscapeRoomConfig
from games.social.harvest import HarvestBatched, HarvestConfig
from games.social.repeated import DilemmaConfig, RepeatedBatched, StagHuntConfig

__all__ = [
    "DilemmaConfig",
    "EscapeRoomBatched",
    "EscapeRoomConfig",
    "HarvestBatched",
    "HarvestConfig",
    "RepeatedBatched",
    "StagHuntConfig",
    "make_batched",
]

_GAMES: dict[str, tuple[type[Any], type[Simultaneous]]] = {
    "escape-room": (EscapeRoomConfig, EscapeRoomBatched),
    "prisoners-dilemma": (DilemmaConfig, RepeatedBatched),
    "stag-hunt": (StagHuntConfig, RepeatedBatched),
    "harvest": (HarvestConfig, HarvestBatched),
}


def make_batched(
    name: str,
    players: int,
    num_games: int,
    seed: int,
    restart: bool,
    options: Mapping[str, Any],
) -> Simultaneous:
    """A batch of one of the games; see ``games.settings.Room``."""
    settings, kind = _GAMES[name]
    make: Any = kind
    batch: Simultaneous = make(
        configure(settings, options, what=name, players=players), num_games, seed, restart
    )
    return batch
