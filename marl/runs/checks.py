"""What is true of every configuration, whatever it is about."""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass


def refuse_endless(config: object, name: str = "") -> None:
    """Refuses numbers that are none, or have no end, anywhere in a configuration.

    Args:
        config: a dataclass; those in its fields are looked into.
        name: what it is called, with a dot behind it, in front of the names of its fields.

    Raises:
        ValueError: if a field is NaN or infinite.
    """
    for field in fields(config):  # type: ignore[arg-type]
        value = getattr(config, field.name)
        if is_dataclass(value):
            refuse_endless(value, f"{name}{field.name}.")
        elif isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name}{field.name} must be a finite number, got {value}")
