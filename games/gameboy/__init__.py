"""Game Boy: consoles that do not wait, cartridges of our own, and titles that a person brings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from games.core import BatchedGame

__all__ = ["make_batched"]


def make_batched(
    name: str, players: int, num_games: int, seed: int, restart: bool, options: Mapping[str, Any]
) -> BatchedGame:
    """A batch of consoles; see ``games.settings.Room``.

    Raises:
        ValueError: if an option is unknown or out of range.
    """
    from games.gameboy.blocks import BlocksBatched, BlocksConfig
    from games.gameboy.cartridge import CartridgeBatched, CartridgeConfig
    from games.gameboy.parcels import ParcelsBatched, ParcelsConfig
    from games.gameboy.presses import Timing

    make, config = {
        "gameboy": (CartridgeBatched, CartridgeConfig),
        "blocks": (BlocksBatched, BlocksConfig),
        "parcels": (ParcelsBatched, ParcelsConfig),
    }[name]
    timing = {field.name for field in fields(Timing)}
    own = {field.name for field in fields(config)} - {"timing"}
    for option in options:
        if option not in timing | own:
            known = ", ".join(sorted(timing | own))
            raise ValueError(f"unknown option {option!r} of {name}; there are {known}")
    rest = {option: value for option, value in options.items() if option in own}
    game = config(**rest)
    when = {option: value for option, value in options.items() if option in timing}
    if name == "gameboy":
        when.setdefault("every", 4)
    if name == "parcels":
        when.setdefault("every", game.pace)
    if not getattr(game, "emulated", True):
        from games.gameboy.blocks_model import ModelledBlocks
        from games.gameboy.parcels_model import ModelledParcels

        make = {"blocks": ModelledBlocks, "parcels": ModelledParcels}[name]
    return make(replace(game, timing=Timing(**when)), num_games, seed, restart)
