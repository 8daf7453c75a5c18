"""``troupe tabular``: learn small games in tables, over seeds, beside each other."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import tyro

from games.options import configure
from games.settings import Setting, parse_all, parse_numbers
from marl.tabular.learn import HISTORY, Learners, TabularConfig, learn
from marl.tabular.regret import gain
from scripts.arguments import parse
from scripts.outputs import check_folder

COMMAND = "troupe tabular"
Tell = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True, kw_only=True)
class Options(TabularConfig):
    """Learns small games by independent Q-learning in tables, each over several seeds.

    The reference for networks, in seconds. The folder of each setting can be compared with those
    of runs: troupe compare --managers. Called again, the command leaves alone what is finished.
    """

    settings: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="SETTING [SETTING ...]")
    ] = ()
    """What is learned, each by itself: supply-chain@manager=none, stag-hunt@manager=incentives."""
    seeds: str = "1-5"
    """Seeds, "1-5" or "1,3"."""
    evaluations: int = 4
    """Evaluations of each, beside the one before it begins."""
    evaluate_games: int = 1000
    """Games of each evaluation."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("tabular")
    """Folder for DIR/SETTING/seed-1 and so on."""


def main(args: Sequence[str]) -> None:
    """Learns as the options say.

    Raises:
        ValueError: if an option is out of range, or a game does not fit into tables.
    """
    options = parse(Options, COMMAND, args)
    settings = parse_all(options.settings)
    seeds = parse_numbers(options.seeds, "--seeds")
    for name in ("evaluations", "evaluate_games"):
        if getattr(options, name) < 1:
            shown = name.replace("_", "-")
            raise ValueError(f"--{shown} must be at least 1, got {getattr(options, name)}")
    check_folder(options.out, "--out")
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


def study(
    settings: Sequence[Setting],
    seeds: Sequence[int],
    out: Path,
    config: dict[str, Any],
    one: Callable[[Setting, int, Tell], object],
) -> None:
    """Learns every setting with every seed, and writes what came of it like runs do.

    Args:
        settings: what is learned.
        seeds: of each.
        out: folder for OUT/SETTING/seed-1/metrics.jsonl and so on.
        config: how it is learned, written beside them.
        one: learns a setting with a seed; it calls what it is given with a count and outcomes.

    Raises:
        ValueError: if the folder holds what was learned in another way.
    """
    from rich.console import Console

    console = Console(stderr=True)
    for setting in settings:
        folder = out / setting.slug
        _agree(folder / "study.json", {"setting": setting.name, **config})
        for seed in seeds:
            file = folder / f"seed-{seed}" / "metrics.jsonl"
            if file.exists():
                continue
            lines: list[str] = []
            start = time.monotonic()

            one(setting, seed, partial(_note, lines, setting.slug, start))
            file.parent.mkdir(parents=True, exist_ok=True)
            temporary = file.with_suffix(".tmp")  # whole or absent: it says that this is finished
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
            temporary.replace(file)
            last = {k.rpartition("/")[2]: v for k, v in json.loads(lines[-1]).items()}
            shown = "  ".join(f"{k} {v:.4g}" for k, v in last.items() if k != "step")
            console.print(
                f"{setting.name} seed {seed}: {shown}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
    print(
        f"{len(settings)} settings, {len(seeds)} seeds each, are in {out}. To see what they came "
        f"to: troupe compare --managers {' '.join(str(out / s.slug) for s in settings)}"
    )


def _note(lines: list[str], slug: str, start: float, step: int, outcome: dict[str, float]) -> None:
    """Adds a line of metrics, as runs write them."""
    found = {f"evaluate/{slug}/{name}": value for name, value in outcome.items()}
    seconds = round(time.monotonic() - start, 3)
    lines.append(json.dumps({"step": step, "seconds": seconds, **found}))


def _agree(file: Path, config: dict[str, Any]) -> None:
    """Writes how something is learned; refuses what was learned in another way."""
    text = json.dumps(config, indent=2) + "\n"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    elif file.read_text(encoding="utf-8") != text:
        raise ValueError(
            f"{file.parent} holds what was learned with other options: name another --out"
        )
