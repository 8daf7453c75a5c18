"""What every process of a run does as it begins, done before and forgotten (``transport.spares``).

Libraries set themselves up, and compiled code is loaded, when they are used for the first time.
"""

from __future__ import annotations

from pathlib import Path

from agents.r3d2.agent import R3D2Agent
from games.text import shared
from marl.acting.table import admit
from marl.lanes import prepare_process
from marl.remote.policy import warm_up
from marl.remote.shard import warm_up_table
from marl.runs.config import PHRASES_FILE, load_config


def prepare(run_dir: Path) -> None:
    """Has an agent of a run act once in its games, and draws once from a replay."""
    prepare_process()
    config = load_config(run_dir)
    playing = [setting.batched(1) for setting in config.settings()]
    book = shared([game.phrasebook for game in playing], run_dir / PHRASES_FILE)
    agent = R3D2Agent(config.agent, book, config.seed)
    for game in playing:
        admit(agent, game)
        warm_up(agent, game)
    warm_up_table(config.replay)
