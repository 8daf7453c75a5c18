"""Golden games: whole games on file, replayed to show that nothing has changed.

A file is JSON. ``phrases`` lists the sentences that were said, in the order of their first use, and
the facts and choices of each turn are places in that list.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from games.testing.transcript import Maker, Turn, expect, transcribe

_TEXTS = ("facts", "choices")


def write_golden(path: Path, make: Maker, seed: int = 0, steps: int = 200, salt: int = 0) -> None:
    """Plays the first episode of a seed, and writes it down.

    Args:
        path: the file.
        make: makes the game.
        seed: of the game.
        steps: turns at most; a longer game is left unfinished.
        salt: another number plays another game (``transcript.moves``).
    """
    places: dict[str, int] = {}
    episode = transcribe(make(1, seed, True), steps, salt)[0][0]
    turns = [_packed(turn, places) for turn in episode]
    head = {"seed": seed, "steps": steps, "salt": salt, "phrases": list(places)}
    lines = ",\n".join(json.dumps(turn) for turn in turns)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'{json.dumps(head)[:-1]},\n"turns": [\n{lines}\n]}}\n', encoding="utf-8")


def check_golden(path: Path, make: Maker) -> None:
    """Replays a golden game.

    Args:
        path: what ``write_golden`` wrote.
        make: makes the game.

    Raises:
        AssertionError: naming the first turn, and what differs in it.
        FileNotFoundError: if there is no such file.
    """
    golden: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    episode = transcribe(make(1, golden["seed"], True), golden["steps"], golden["salt"])[0][0]
    for number, (turn, packed) in enumerate(zip(episode, golden["turns"], strict=False)):
        difference = _unpacked(packed, golden["phrases"]).differs_in(turn)
        expect(
            difference is None,
            f"{path.name}, turn {number}: {difference}. If the change is meant, "
            "write the game anew with games.testing.write_golden",
        )
    expect(
        len(episode) == len(golden["turns"]),
        f"{path.name} has {len(golden['turns'])} turns, now there are {len(episode)}",
    )


def _packed(turn: Turn, places: dict[str, int]) -> dict[str, Any]:
    packed = dict(vars(turn))
    for name in _TEXTS:
        packed[name] = [
            [places.setdefault(sentence, len(places)) for sentence in row] for row in packed[name]
        ]
    return packed


def _unpacked(packed: dict[str, Any], phrases: list[str]) -> Turn:
    fields = {name: _tuples(value) for name, value in packed.items()}
    for name in _TEXTS:
        fields[name] = tuple(tuple(phrases[place] for place in row) for row in packed[name])
    return Turn(**fields)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
