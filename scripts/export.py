"""``troupe export``: write an agent as two small files to pass on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from scripts.arguments import parse
from scripts.outputs import check_folder


@dataclass(frozen=True)
class Options:
    """Writes an agent's configuration and weights, without replay and optimiser.

    The folder can be named wherever an agent is asked for.
    """

    agent: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="AGENT")]
    """Folder of a run, an exported folder, or the name of a shipped agent."""
    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
    """Where to write; it must not be there yet."""


def main(args: Sequence[str]) -> None:
    """Exports as the options say.

    Raises:
        ValueError: if there is no such agent, or the folder is there already.
    """
    options = parse(Options, "troupe export", args)
    check_folder(options.folder, "FOLDER")
    from marl.runs.roster import export, load  # imports torch: not for --help

    member = load(options.agent)
    export(member, options.folder)
    size = sum(file.stat().st_size for file in options.folder.iterdir())
    print(f"{options.folder}: {size / 2**20:.1f} MiB, {member.updates:,} updates")
