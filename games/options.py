"""Options of a game, as they come from a name, made into its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar, get_type_hints

Config = TypeVar("Config")


def configure(
    kind: type[Config],
    options: Mapping[str, Any],
    presets: Mapping[str, Mapping[str, Any]] | None = None,
    what: str = "game",
    **given: Any,
) -> Config:
    """A frozen dataclass from options.

    Args:
        kind: the dataclass, with fields of type int, float, str, bool or tuple[float, ...] (which
            may be written "0.2,0.4").
        options: values by name; ``preset`` names a set of them that the others override.
        presets: the sets there are.
        what: whose options they are, for messages.
        **given: fields that are no options, such as the number of players.

    Raises:
        ValueError: if an option or preset is unknown, or a value is of the wrong type.
    """
    chosen = dict(options)
    preset = chosen.pop("preset", None)
    if preset is not None:
        known = presets or {}
        if preset not in known:
            there = f"there are {', '.join(known)}" if known else "it has none"
            raise ValueError(f"{what} has no preset {preset!r}; {there}")
        chosen = {**known[preset], **chosen}
    types = get_type_hints(kind)
    names = [field.name for field in fields(kind) if field.name not in given]  # type: ignore[arg-type]
    for name in chosen:
        if name not in names:
            raise ValueError(f"{what} has no option {name!r}; there are {', '.join(names)}")
    read = {name: _read(value, types[name], f"{what}: {name}") for name, value in chosen.items()}
    return kind(**given, **read)


def _read(value: Any, kind: Any, what: str) -> Any:
    """A value in the type of its field."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is float and number:
        return float(value)
    if kind == tuple[float, ...]:
        parts: Any = [value] if number else value
        try:
            return tuple(map(float, parts.split(",") if isinstance(parts, str) else parts))
        except (TypeError, ValueError):
            raise ValueError(f'{what} must be numbers such as "0.2,0.4", got {value!r}') from None
    if kind in (int, str, bool) and type(value) is kind:
        return value
    if kind is str and number:
        return f"{value:g}"
    name = "a number" if kind is float else f"of type {getattr(kind, '__name__', kind)}"
    raise ValueError(f"{what} must be {name}, got {value!r}")
