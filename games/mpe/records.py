"""What the kernels of the particle games work on: one record per game, and one for the setting.

Thousands of games lie in one array, so saving and restoring is a copy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from games.mpe.phrases import BLOCKS, PLACES, SPEEDS
from games.mpe.rules import MAX_PLAYERS, MpeConfig

GAME = np.dtype(
    [
        ("seed", np.uint64),  # of the episode being played
        ("position", np.float64, (MAX_PLAYERS, 2)),
        ("velocity", np.float64, (MAX_PLAYERS, 2)),
        ("landmark", np.float64, (MAX_PLAYERS, 2)),
        ("earned", np.float64, MAX_PLAYERS),  # each seat's rewards, added up
        ("cycle", np.int32),  # steps made so far
        ("goal", np.int8, 2),  # the landmark that each seat sees the other has to reach, or -1
        ("said", np.int8, 2),  # the word of each seat's latest step, or -1
        ("saying", np.int8, 2),  # the first half of a chain of choices, or -1
        ("over", np.bool_),
    ],
    align=True,
)
Games = NDArray[np.void]  # of GAME
Ids = NDArray[np.int16]
Int = Any  # int64 to numba

_SAID = ("TASK", "GOAL", "HEARD", "SAYING", "MINE")
_MEASURED = ("SPEED", "PLACE", "LANDMARK", "PARTNER")
_PLACE_TABLE, _SPEED_TABLE = PLACES.tables(), SPEEDS.tables()

TABLES = np.dtype(
    [
        ("game", np.int64),
        ("players", np.int64),
        ("landmarks", np.int64),
        ("max_cycles", np.int64),
        ("local_ratio", np.float64),
        ("chained", np.bool_),
        ("terminate_on_success", np.bool_),
        ("collision_penalty", np.bool_),
        ("by_distance", np.int8, 2),  # whether landmarks, partners are named by nearness
        ("seen", np.int64, 2),  # how many of them are seen
        # Ids, so that compiled kernels hold none: first sentences of blocks; of those for amounts
        # the ones for 0.
        *[(name.lower(), np.int64) for name in _SAID],
        *[(name.lower(), np.int64, 2) for name in _MEASURED],
        ("places", np.int16, _PLACE_TABLE.shape),
        ("speeds", np.int16, _SPEED_TABLE.shape),
        ("place_sizes", np.int64, 2),
        ("speed_sizes", np.int64, 2),
    ],
    align=True,
)
"""A setting in the form that kernels read: one record, so that a call passes one pointer."""


def make_tables(config: MpeConfig) -> np.void:
    """Prepares a setting for the kernels: one record of ``TABLES``."""
    t = np.zeros(1, TABLES)[0]
    t["game"], t["players"], t["landmarks"] = config.game, config.players, config.landmarks
    t["max_cycles"], t["local_ratio"] = config.max_cycles, config.local_ratio
    t["chained"], t["collision_penalty"] = config.chained, config.collision_penalty
    t["terminate_on_success"] = config.terminate_on_success
    t["by_distance"] = (
        config.num_landmark_neighbors is not None,
        config.num_agent_neighbors is not None,
    )
    t["seen"] = config.seen_landmarks, config.seen_partners
    for name in _SAID:
        t[name.lower()] = BLOCKS[name].base
    for name in _MEASURED:
        fine, rough = BLOCKS[name], BLOCKS[f"{name}_ROUGH"]
        t[name.lower()] = fine.base + fine.shape[-1] // 2, rough.base + rough.shape[-1] // 2
    t["places"], t["place_sizes"] = _PLACE_TABLE, (PLACES.fine_size, PLACES.rough_size)
    t["speeds"], t["speed_sizes"] = _SPEED_TABLE, (SPEEDS.fine_size, SPEEDS.rough_size)
    return t
