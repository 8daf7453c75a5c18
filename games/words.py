"""Words that sentences of several games are made of."""

from __future__ import annotations

from string import ascii_uppercase

LETTERS = ascii_uppercase
"""The others' names, in the order in which they sit behind whoever reads."""


def plural(count: int, noun: str) -> str:
    """A number of things: "1 part", "2 parts"."""
    return f"{count} {noun if count == 1 else noun + 's'}"


def there_are(count: int, noun: str) -> str:
    """That there is a number of things: "there is 1 round"."""
    return f"there {'is' if count == 1 else 'are'} {plural(count, noun)}"


def number(value: float) -> str:
    """A parameter as text: "0.45", "2"."""
    return f"{value:.6g}"
