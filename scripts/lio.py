"""``troupe lio``: agents that learn to give each other incentives, over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import tyro

from games.settings import Setting, parse_all
from marl.lio.learn import LIOConfig, learn
from marl.lio.players import Players
from scripts.arguments import parse
from scripts.study import StudyOptions, Tell, study

COMMAND = "troupe lio"


@dataclass(frozen=True, kw_only=True)
class Options(StudyOptions, LIOConfig):
    """Learns small games by LIO (arXiv 2006.06051): everybody learns what to give the others.

    For games in which all move at once, such as escape-room and prisoners-dilemma. The folder of
    each setting can be compared with those of managers: troupe compare --managers. Called again,
    the command leaves alone what is finished.
    """

    settings: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="SETTING [SETTING ...]")
    ] = ("escape-room", "prisoners-dilemma")
    """What is learned, each by itself."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("lio")
    """Folder for DIR/SETTING/seed-1 and so on."""


def main(args: Sequence[str]) -> None:
    """Learns as the options say.

    Raises:
        ValueError: if an option is out of range, or a game is of another kind.
    """
    options = parse(Options, COMMAND, args)
    settings = parse_all(options.settings)
    seeds = options.check()
    import torch

    torch.set_num_threads(1)  # the networks are small
    config = LIOConfig(**{f.name: getattr(options, f.name) for f in fields(LIOConfig)})
    for setting in settings:  # what is wrong is said before the first is learned
        Players(setting.batched(1, restart=False), config.hidden, config.most)
    interval = max(1, config.iterations // options.evaluations)

    def one(setting: Setting, seed: int, tell: Tell) -> None:
        learn(setting, config, seed, tell, interval, options.evaluate_games)

    study(settings, seeds, options.out, config.__dict__, one)
