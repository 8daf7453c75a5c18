"""Learning small games one by one, over seeds: what ``troupe tabular`` and ``troupe lio`` share."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from games.settings import Setting, parse_numbers
from scripts.outputs import check_folder

Tell = Callable[[int, dict[str, float]], None]
"""Is called with a count and the outcomes of an evaluation at it."""


@dataclass(frozen=True, kw_only=True)
class StudyOptions:
    """How often something is learned, and looked at. Who inherits says where it is written."""

    out: Path
    """Folder for DIR/SETTING/seed-1 and so on."""
    seeds: str = "1-5"
    """Seeds, "1-5" or "1,3"."""
    evaluations: int = 4
    """Evaluations of each, beside the one before it begins."""
    evaluate_games: int = 1000
    """Games of each evaluation."""

    def check(self) -> tuple[int, ...]:
        """The seeds.

        Raises:
            ValueError: if an option is out of range, or the folder cannot be written.
        """
        seeds = parse_numbers(self.seeds, "--seeds")
        for name in ("evaluations", "evaluate_games"):
            if getattr(self, name) < 1:
                shown = name.replace("_", "-")
                raise ValueError(f"--{shown} must be at least 1, got {getattr(self, name)}")
        check_folder(self.out, "--out")
        return seeds


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
