"""``troupe replay``: look at a game that was saved, or export it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from scripts.arguments import parse
from scripts.outputs import check_file

if TYPE_CHECKING:
    from rich.console import Console

    from games.hanabi.record import GameRecord, Position

COMMAND = "troupe replay"


@dataclass(frozen=True)
class Options:
    """Shows a saved game move by move, all hands open.

    Enter goes on, "b" goes back, a number goes to that turn, "q" leaves.
    """

    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """A game as troupe play saves it."""
    all: bool = False
    """Print the whole game, a line a move, and the last table."""
    hanab_live: Annotated[Path | None, tyro.conf.arg(metavar="OUT")] = None
    """Write the game in the JSON format of hanab.live to this file instead."""
    gif: Annotated[Path | None, tyro.conf.arg(metavar="OUT")] = None
    """Write a game on consoles as a GIF to this file."""


def main(args: Sequence[str]) -> None:
    """Shows or exports as the options say.

    Raises:
        ValueError: if the file is no game, or hanab.live has no such setting.
    """
    from rich.console import Console

    from games.gameboy.record import is_record
    from games.hanabi.record import load, to_hanab_live
    from scripts.consoles import film

    options = parse(Options, COMMAND, args)
    check_file(options.hanab_live, "--hanab-live")
    check_file(options.gif, "--gif", (".gif",))
    if is_record(options.file):
        film(options.file, options.gif)
        return
    if options.gif is not None:
        raise ValueError(f"--gif films games on consoles, and {options.file} is none")
    record = load(options.file)
    if options.hanab_live is not None:
        game = to_hanab_live(record)
        options.hanab_live.parent.mkdir(parents=True, exist_ok=True)
        options.hanab_live.write_text(json.dumps(game) + "\n", encoding="utf-8")
        print(f"{options.hanab_live}: {len(game['actions'])} moves of {', '.join(record.players)}")
        return
    positions = list(record.positions())
    console = Console()
    if options.all:
        for before, after in pairwise(positions):
            console.print(f"{before.turn + 1:3}  {_told(record, before, after)}", highlight=False)
        _show(record, positions[-1], console)
        return
    _step(record, positions, console)


def _step(record: GameRecord, positions: Sequence[Position], console: Console) -> None:
    """Goes through the positions as the person asks."""
    turn = 0
    while True:
        _show(record, positions[turn], console)
        if turn + 1 < len(positions):
            line = _told(record, positions[turn], positions[turn + 1])
            console.print(f"then {line}", highlight=False)
        try:
            said = console.input("[dim]enter, b, a turn's number, or q:[/] ").strip()
        except EOFError:
            console.print()
            return
        if said in ("q", "quit"):
            return
        if said == "b":
            turn = max(turn - 1, 0)
        elif said.isdecimal():
            turn = min(max(int(said), 1), len(positions)) - 1
        elif turn + 1 < len(positions):
            turn += 1
        else:
            return


def _names(record: GameRecord, seat: int) -> list[str]:
    """Everybody's names, from a seat on."""
    return [record.players[(seat + k) % len(record.players)] for k in range(len(record.players))]


def _told(record: GameRecord, before: Position, after: Position) -> str:
    """A move and what it brought."""
    from rich.markup import escape

    from games.hanabi.decode import decode_choice
    from games.hanabi.phrases import PHRASEBOOK
    from scripts.tabletop import brought, said

    assert before.move is not None  # the last position has no other after it
    move = decode_choice(PHRASEBOOK.id(before.move))
    event = after.view.events[(before.seat - after.seat) % len(record.players)]
    assert event is not None  # it has just moved
    return escape(said(move, 0, _names(record, before.seat))) + brought(event).markup


def _show(record: GameRecord, position: Position, console: Console) -> None:
    """The open table."""
    from rich.markup import escape

    from scripts.tabletop import table

    names = _names(record, position.seat)
    title = f"turn {position.turn + 1}, {position.score} of {record.config.max_score} points"
    if position.over:
        title = f"{'lost' if position.lost else 'the end'}, {position.score} points"
    elif position.move is None:
        title += ", where the record ends"
    else:
        title += f", {names[0]} to move"
    first = -position.seat % len(names)  # seats keep their places from turn to turn
    hand = position.hands[position.seat]
    console.print(table(position.view, names, escape(title), hand, first))
