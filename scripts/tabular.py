"""``troupe tabular``: learn small games in tables, over seeds, beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import tyro

from games.options import configure
from games.settings import Setting, parse_all
from marl.tabular.learn import HISTORY, Learners, TabularConfig, learn
from marl.tabular.regret import gain
from scripts.arguments import parse
from scripts.study import StudyOptions, Tell, study

COMMAND = "troupe tabular"


@dataclass(frozen=True, kw_only=True)
class Options(StudyOptions, TabularConfig):
    """Learns small games by independent Q-learning in tables, each over several seeds.

    The reference for networks, in seconds. The folder of each setting can be compared with those
    of runs: troupe compare --managers. Called again, the command leaves alone what is finished.
    """

    settings: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="SETTING [SETTING ...]")
    ] = ()
    """What is learned, each by itself: supply-chain@manager=none, stag-hunt@manager=incentives."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("tabular")
    """Folder for DIR/SETTING/seed-1 and so on."""


def main(args: Sequence[str]) -> None:
    """Learns as the options say.

    Raises:
        ValueError: if an option is out of range, or a game does not fit into tables.
    """
    options = parse(Options, COMMAND, args)
    settings = parse_all(options.settings)
    seeds = options.check()
    config = TabularConfig(**{f.name: getattr(options, f.name) for f in fields(TabularConfig)})
    for setting in settings:  # what is wrong is said before the first is learned
        Learners(setting, config, 0)

    def one(setting: Setting, seed: int, tell: Tell) -> None:
        def look(episodes: int, run: Learners) -> None:
            regret = _regret(run, config)
            tell(episodes, {**run.evaluate(options.evaluate_games, 2**40), **regret})

        learn(setting, config, seed, look, max(1, config.episodes // options.evaluations))

    study(settings, seeds, options.out, config.__dict__, one)


def _regret(run: Learners, config: TabularConfig) -> dict[str, float]:
    """What a factory would gain by leaving what all have learned, where nobody manages them."""
    setting = run.setting
    managed = setting.options.get("manager") is not None
    if setting.game != "supply-chain" or managed or config.ignore != HISTORY:
        return {}
    from games.supply_chain import PRESETS, SupplyChainConfig

    plain = {k: v for k, v in setting.options.items() if not k.startswith("manager")}
    rules = configure(SupplyChainConfig, plain, PRESETS, players=setting.players)
    return {"regret": gain(rules, run.policies())}
