"""A game between a person and agents in a terminal: any game that speaks text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from games.core import BatchedGame, Step
from games.settings import Setting
from marl.acting.table import Table, Turn
from marl.core import Policy
from scripts.moves import choice_of, command_of, short
from scripts.outputs import check_file

if TYPE_CHECKING:
    from rich.console import Console

HELP = """\
a move     its number, which is the same all through the game, or its sentence, or the words of it
           that matter, or their beginnings (play 3, tell A red, t a r)
?          what the agent would do in your place, and what it expects of each move
facts      everything you know, sentence by sentence
table      the table again
save FILE  save the game so far, and go on
quit       save and leave
Capitals do not matter, and beginnings of commands are enough."""

FORMAT = "troupe game 1"


@dataclass(frozen=True)
class Seats:
    """Who sits where.

    Attributes:
        mine: the person's seat.
        names: of all seats.
        policies: of all seats; in the person's, whom it can ask.
        adviser: the name of that one.
        scale: what it was told of each point as it learned (``learner.reward_scale``).
    """

    mine: int
    names: tuple[str, ...]
    policies: tuple[Policy, ...]
    adviser: str
    scale: float = 1.0


class Sitting:
    """One game.

    Args:
        setting: what is played.
        seed: of the game.
        seats: who sits where.
        file: where the game is saved.
        console: where the person sits.
    """

    def __init__(
        self, setting: Setting, seed: int, seats: Seats, file: Path, console: Console
    ) -> None:
        self.setting, self.seed, self.seats = setting, seed, seats
        self.file, self.console = file, console
        self.batch = self.begin()
        # The adviser first: a table tells what its first policy remembered before a turn.
        order = [seats.mine, *(s for s in range(setting.seats) if s != seats.mine)]
        self.table = Table(
            self.batch,
            [seats.policies[seat] for seat in order],
            np.argsort(order)[None].astype(np.int64),
            book=seats.policies[seats.mine].phrasebook,
        )
        self.moves: list[tuple[int, str]] = []
        self.round = 1

    def run(self) -> None:
        """Plays until the game ends or the person leaves; saves either way."""
        self.console.print(self.greeting(), highlight=False, markup=False, style="bold")
        self.console.print("[dim]help lists what you can type[/]")
        try:
            over = False
            while not over:
                turn = self.table.choose()
                choices = turn.choices.copy()
                due = self.batch.due_seat.tolist()
                if self.seats.mine in due:
                    row = due.index(self.seats.mine)
                    choice = self._ask(turn, row)
                    if choice is None:
                        break
                    choices[row] = choice
                for row, seat in enumerate(due):
                    sentence = self.batch.phrasebook[int(self.batch.choices[row, choices[row]])]
                    self.moves.append((seat, sentence))
                step = self.table.step(choices)
                self.round += bool(step.elapsed[0])  # a manager speaks in between
                over = bool(step.over[0])
            if over:
                self.end(step)
        finally:
            self.save(self.file)

    # --- what a game may show in a way of its own ---------------------------------------------

    def begin(self) -> BatchedGame:
        """The game before its first move."""
        return self.setting.batched(1, self.seed, restart=False)

    def greeting(self) -> str:
        """What is played, and with whom."""
        others = [name for seat, name in enumerate(self.seats.names) if seat != self.seats.mine]
        roles = self.batch.roles
        role = f", you are {roles[self.seats.mine]}" if len(set(roles)) > 1 else ""
        return f"{self.setting.name} with {', '.join(others)}{role}"

    def show(self, row: int) -> None:
        """Where the game stands, for the person."""
        self.console.print(f"round {self.round}", style="dim")
        self.facts(row)

    def beliefs(self, turn: Turn, row: int) -> None:
        """What the adviser believes of things that the person does not see, if anything."""

    def end(self, step: Step) -> None:
        """How it went."""
        found = {name: float(values[0]) for name, values in step.outcome.items()}
        best = self.batch.max_score
        headline, *others = found
        said = f"{headline} {found[headline]:g}" + (f" of {best:g}" if best is not None else "")
        said += "".join(f", {name} {found[name]:g}" for name in others)
        self.console.print(said, style="bold", highlight=False, markup=False)

    def save(self, file: Path) -> None:
        """Writes the game so far: the setting, the seed, and every move as a sentence."""
        text = {
            "format": FORMAT,
            "setting": self.setting.name,
            "seed": self.seed,
            "players": self.seats.names,
            "moves": self.moves,
        }
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(text, indent=1) + "\n", encoding="utf-8")
        self.console.print(f"saved: {file}", markup=False, highlight=False)

    # --- the person's turn ----------------------------------------------------------------------

    def facts(self, row: int) -> None:
        """Everything that the person knows."""
        from rich.columns import Columns

        facts = self.batch.phrasebook.render(self.batch.facts[row])
        self.console.print(
            Columns(facts, padding=(0, 3), column_first=True), highlight=False, markup=False
        )

    def _ask(self, turn: Turn, row: int) -> int | None:
        """The person's choice, None to leave."""
        choices = self.batch.phrasebook.render(self.batch.choices[row])
        numbered = self.batch.phrasebook.render(self.batch.choice_phrases)
        self.show(row)
        self._show_moves(choices, numbered)
        while True:
            try:
                said = self.console.input("[bold]your move:[/] ").strip()
            except EOFError:
                self.console.print()
                return None
            word, _, rest = said.partition(" ")
            command = command_of(word)
            if rest and command != "save":  # no other command is followed by anything
                command = None
            if command is None and said:
                try:
                    return choice_of(said, choices, numbered)
                except ValueError as error:
                    self.console.print(str(error), markup=False, highlight=False)
            elif command == "quit":
                return None
            elif command is not None:
                self._obey(command, rest, turn, row, choices, numbered)

    def _obey(
        self,
        command: str,
        rest: str,
        turn: Turn,
        row: int,
        choices: Sequence[str],
        numbered: Sequence[str],
    ) -> None:
        if command == "?":
            self._advise(turn, row, choices, numbered)
        elif command == "facts":
            self.facts(row)
        elif command == "table":
            self.show(row)
            self._show_moves(choices, numbered)
        elif command == "help":
            self.console.print(HELP, highlight=False, markup=False)
        else:
            try:
                file = Path(rest) if rest else self.file
                check_file(file, "save")
                self.save(file)
            except (OSError, ValueError) as error:
                self.console.print(str(error), markup=False, highlight=False)

    def _show_moves(self, choices: Sequence[str], numbered: Sequence[str]) -> None:
        """The legal moves in a few lines: what is done, and the number of each."""
        from rich.table import Table as Lines
        from rich.text import Text

        groups: dict[str, list[Text]] = {}
        for choice in choices:
            verb, what = short(choice)
            number = str(numbered.index(choice) + 1)
            groups.setdefault(verb, []).append(Text.assemble((number, "bold"), f" {what}".rstrip()))
        lines = Lines(box=None, show_header=False, padding=(0, 2, 0, 0))
        for verb, moves in groups.items():
            lines.add_row(verb, Text("  ").join(moves))
        self.console.print(lines)

    def _advise(
        self, turn: Turn, row: int, choices: Sequence[str], numbered: Sequence[str]
    ) -> None:
        """What the adviser would do, expects and believes."""
        from rich.table import Table as Lines

        advice = int(turn.choices[row])
        name, policy = self.seats.adviser, self.seats.policies[self.seats.mine]
        self.console.print(
            f"{name} would say: {choices[advice]}", style="bold", markup=False, highlight=False
        )
        # Players by rules weigh no moves against each other.
        if hasattr(policy, "network"):
            values = turn.values[row] / self.seats.scale
            expected = Lines("move", "points to come", box=None, padding=(0, 2, 0, 0))
            for k in np.argsort(-values[: len(choices)], kind="stable").tolist():
                number = numbered.index(choices[k]) + 1
                style = "bold" if k == advice else ""
                expected.add_row(f"{number} {choices[k]}", f"{values[k]:+.2f}", style=style)
            self.console.print(expected)
        else:
            self.console.print("[dim]it plays by rules, and expects nothing of the others[/]")
        self.beliefs(turn, row)
