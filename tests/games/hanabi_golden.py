"""Golden games: whole games of Hanabi as text, one for each player count.

A transcript says what each seat observes and may do at its turn (the first time in full, from then
on what is new, ``+``, and what is no longer so, ``-``), what it does (``>``), and what that brings.
``python -m tests.games.hanabi_golden`` writes the files anew, keeping the moves that it
finds in them; look at the difference before you keep it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

from games.hanabi import HanabiBatched, configure
from games.hanabi.decode import Kind, decode_choice
from games.hanabi.rules import MAX_RANKS

FOLDER = Path(__file__).parents[1] / "golden"
Chooser = Callable[[HanabiBatched, list[str]], str]


def path(players: int) -> Path:
    """Where the golden game of a player count lies."""
    return FOLDER / f"hanabi-{players}p.txt"


def transcript(players: int, choose: Chooser) -> Iterator[str]:
    """The lines of a game whose moves ``choose`` picks among the sentences of its choices."""
    batch = HanabiBatched(configure(players=players), 1, seed=players, restart=False)
    seen: dict[int, list[str]] = {}
    turn = 0
    while len(batch.due_game):
        seat = int(batch.seat[0])
        facts = batch.phrasebook.render(batch.facts[0])
        choices = batch.phrasebook.render(batch.choices.ravel())
        yield f"turn {turn}, seat {seat}"
        before = seen.get(seat, [])
        now = facts + choices
        yield from (f"  - {sentence}" for sentence in before if sentence not in now)
        yield from (f"  + {sentence}" for sentence in now if sentence not in before)
        choice = choose(batch, choices)
        yield f"  > {choice}"
        step = batch.step([choices.index(choice)])
        yield f"  = reward {step.rewards[0, 0]:g}"
        seen[seat] = now
        turn += 1
    lost = "lost" if step.outcome["lost"][0] else "not lost"
    yield f"over, score {step.outcome['points'][0]:g}, {lost}"


def recorded(players: int) -> Chooser:
    """Picks the moves of the golden game."""
    lines = path(players).read_text(encoding="utf-8").splitlines()
    moves = iter([line.removeprefix("  > ") for line in lines if line.startswith("  > ")])
    return lambda batch, choices: next(moves)


def lively(players: int) -> Chooser:
    """Picks moves that show much: it peeks at the cards, plays most that fit, and errs at times."""
    rng = random.Random(players)

    def choose(batch: HanabiBatched, choices: list[str]) -> str:
        game = {name: array[0] for name, array in batch.state().items()}
        fitting, other = [], []
        for choice in choices:
            move = decode_choice(batch.phrasebook.id(choice))
            if move.kind is not Kind.PLAY:
                other.append(choice)
                continue
            colour, rank = divmod(
                game["cards"][game["seat"] * batch.config.hand + move.slot], MAX_RANKS
            )
            if game["fireworks"][colour] == rank:
                fitting.append(choice)
        if rng.random() < 0.03:
            return rng.choice(choices)
        return rng.choice(fitting if fitting and rng.random() < 0.9 else other or choices)

    return choose


def main() -> None:
    """Writes every golden game."""
    for players in (2, 3, 4, 5):
        choose = recorded(players) if path(players).exists() else lively(players)
        lines = list(transcript(players, choose))
        path(players).write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(path(players).name, len(lines), "lines,", lines[-1])


if __name__ == "__main__":
    main()
