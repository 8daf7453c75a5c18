"""A partner by rules for ``parcels``, at consoles: tells one thing, and means all by it.

Of each stamp it tells the colour or the shape, whichever is agreed upon, and its own parcel it
brings where the one thing it was told points. Whoever holds to the same code sorts everything.
Its presses that are on their way, where it is told of them, it takes for done.
"""

from __future__ import annotations

from collections.abc import Sequence

CODE = {
    "white round": ("colour", "white"),
    "black round": ("shape", "round"),
    "white square": ("shape", "square"),
    "black square": ("colour", "black"),
}
"""What is told of each stamp, and the word that says so; bins stand in this order."""

_PARCEL, _CRANE, _MINE = "partner A parcel is ", "my crane is over bin ", "my parcel is "
_STEPS = {"I move left": -1, "I move right": 1}


def sort(facts: Sequence[str], choices: Sequence[str]) -> str:
    """One of the choices, from what a seat sees."""
    bins = list(CODE)
    pending = [fact.rpartition(" in ")[0] for fact in facts if fact.endswith(" turns")]
    lane, target = 0, None
    for fact in facts:
        if fact.startswith(_PARCEL):
            what, _ = CODE[fact.removeprefix(_PARCEL)]
            tell = f"I tell partner A the {what}"
            if tell in choices and tell not in pending:
                return tell
        elif fact.startswith(_CRANE):
            lane = bins.index(fact.removeprefix(_CRANE))
            for step in pending:
                lane = min(max(lane + _STEPS.get(step, 0), 0), len(bins) - 1)
        elif fact.startswith(_MINE):
            word = fact.removeprefix(_MINE)
            target = next((k for k, (_, said) in enumerate(CODE.values()) if said == word), None)
    if target is None or target == lane:
        return "I wait"
    step = "I move right" if target > lane else "I move left"
    return step if step in choices else "I wait"  # There may be a step back on its way.
