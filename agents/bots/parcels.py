"""A partner by rules for ``parcels``, at consoles: tells one thing, and means all by it.

Of each stamp it tells the colour or the shape, whichever is agreed upon, and its own parcel it
brings where the one thing it was told points. Whoever holds to the same code sorts everything.
"""

from __future__ import annotations

CODE = {
    "white round": ("colour", "white"),
    "black round": ("shape", "round"),
    "white square": ("shape", "square"),
    "black square": ("colour", "black"),
}
"""What is told of each stamp, and the word that says so; bins stand in this order."""

_PARCEL, _CRANE, _MINE = "partner A parcel is ", "my crane is over bin ", "my parcel is "


def sort(facts: list[str], choices: list[str]) -> str:
    """One of the choices, from what a seat sees."""
    bins = list(CODE)
    lane, target = 0, None
    for fact in facts:
        if fact.startswith(_PARCEL):
            what, _ = CODE[fact.removeprefix(_PARCEL)]
            tell = f"I tell partner A the {what}"
            if tell in choices:
                return tell
        elif fact.startswith(_CRANE):
            lane = bins.index(fact.removeprefix(_CRANE))
        elif fact.startswith(_MINE):
            word = fact.removeprefix(_MINE)
            target = next((k for k, (_, said) in enumerate(CODE.values()) if said == word), None)
    if target is None or target == lane:
        return "I wait"
    return "I move right" if target > lane else "I move left"
