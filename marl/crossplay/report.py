"""What a cross-play leaves behind: CSV and JSON, pictures, a page, and images for TensorBoard.

All files but TensorBoard's are functions of the games alone, byte for byte.
"""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from games.settings import Setting
from marl.crossplay import heatmap, page
from marl.crossplay.cells import Crossplay, write_file
from marl.crossplay.matrix import LEVEL, RESAMPLES, Estimate, Matrix, matrix

CELLS_CSV, AGENTS_CSV = "cells.csv", "agents.csv"
JSON_FILE, PAGE_FILE = "crossplay.json", "crossplay.html"
TENSORBOARD_FOLDER = "tensorboard"


def picture_file(setting: Setting) -> str:
    """Name of the picture of one setting."""
    return f"crossplay-{setting.slug}.png"


def write(crossplay: Crossplay) -> list[Matrix]:
    """Works out all matrices of a finished cross-play and writes every file into its folder.

    Raises:
        ValueError: if a cell has not been played, or its file is damaged.
    """
    config, folder = crossplay.config, crossplay.folder
    matrices = [matrix(crossplay, setting) for setting in config.parsed()]
    tops = [_top(one) for one in matrices]
    write_file(folder / CELLS_CSV, _csv(_cell_rows(matrices)))
    write_file(folder / AGENTS_CSV, _csv(_agent_rows(matrices)))
    text = json.dumps(_plain(_values(crossplay, matrices)), indent=1, allow_nan=False) + "\n"
    write_file(folder / JSON_FILE, text)
    write_file(folder / PAGE_FILE, page.render(config, matrices, tops))
    for one, top in zip(matrices, tops, strict=True):
        heatmap.save(folder / picture_file(one.setting), one, top)
    _tensorboard(folder, matrices)
    return matrices


def _top(one: Matrix) -> float:
    """The score of a perfect game, or, of a game that does not tell, the best mean there is."""
    best = max(cell.scores[one.rules[0]].mean for cell in one.cells.values())
    return float(one.setting.batched(1).max_score or best or 1)


def _cell_rows(matrices: Sequence[Matrix]) -> Iterator[dict[str, Any]]:
    """Every cell, also those that could not be played."""
    for one in matrices:
        n = len(one.names)
        for guest, hosts in ((g, h) for g in range(n) for h in range(n)):
            if one.setting.seats == 2 and guest > hosts:
                continue
            figures = one.cells.get((guest, hosts))
            row: dict[str, Any] = {
                "setting": one.setting.name,
                "guest": one.names[guest],
                "hosts": one.names[hosts],
                "games": 0 if figures is None else figures.games,
            }
            for rule in one.rules:
                row |= _flat(rule, None if figures is None else figures.scores[rule])
            row["lost_share"] = None if figures is None else figures.lost_share
            row["turns"] = None if figures is None else figures.turns
            row["unable"] = "; ".join(
                f"{one.names[i]}: {reason}"
                for i in sorted({guest, hosts})
                if (reason := one.agents[i].unable) is not None
            )
            yield row


def _agent_rows(matrices: Sequence[Matrix]) -> Iterator[dict[str, Any]]:
    for one in matrices:
        for agent in one.agents:
            row: dict[str, Any] = {"setting": one.setting.name, "agent": agent.name}
            for field in ("self_play", "cross_play", "as_guest", "as_hosts"):
                estimates: Mapping[str, Estimate] | None = getattr(agent, field)
                for rule in one.rules:
                    estimate = None if estimates is None else estimates[rule]
                    row |= _flat(f"{field}_{rule}", estimate)
            yield row | {"unable": agent.unable or ""}


def _flat(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    """An estimate as three columns."""
    if estimate is None:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"))
    return {name: estimate.mean, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def _csv(rows: Iterator[dict[str, Any]]) -> str:
    """Rows as CSV; figures in six decimals, nothing where there is none."""
    plain = [{k: f"{v:.6f}" if isinstance(v, float) else v for k, v in row.items()} for row in rows]
    text = io.StringIO()
    # Settings differ in the names of their outcomes.
    columns = list(dict.fromkeys(name for row in plain for name in row))
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(plain)
    return text.getvalue()


def _values(crossplay: Crossplay, matrices: Sequence[Matrix]) -> dict[str, Any]:
    """Everything, for JSON."""
    found = []
    for one in matrices:
        values = asdict(one) | {"setting": one.setting.name, "cells": []}
        for (guest, hosts), figures in sorted(one.cells.items()):
            if one.setting.seats > 2 or guest <= hosts:
                names = {"guest": one.names[guest], "hosts": one.names[hosts]}
                values["cells"].append(asdict(figures) | names)
        del values["names"]
        found.append(values)
    return {
        **asdict(crossplay.config),
        "confidence": LEVEL,
        "resamples": RESAMPLES,
        "matrices": found,
    }


def _plain(value: Any) -> Any:
    """Values for JSON: floats in six decimals, and None where there is no number."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value


def _tensorboard(folder: Path, matrices: Sequence[Matrix]) -> None:
    """The pictures as images and the means as scalars, in place of those of an earlier call."""
    from matplotlib import image
    from torch.utils.tensorboard import SummaryWriter

    shutil.rmtree(folder / TENSORBOARD_FOLDER, ignore_errors=True)
    with SummaryWriter(str(folder / TENSORBOARD_FOLDER)) as board:
        for one in matrices:
            name = f"crossplay/{one.setting.slug}"
            pixels = image.imread(folder / picture_file(one.setting))
            board.add_image(name, pixels[..., :3], dataformats="HWC")
            means = {"self_play": one.self_play, "cross_play": one.cross_play, "gap": one.gap}
            for what, estimates in means.items():
                for rule, estimate in (estimates or {}).items():
                    board.add_scalar(f"{name}/{what}_{rule}", estimate.mean)
