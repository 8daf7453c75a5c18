"""``parcels`` without the emulator: the rules of its cartridge once more, for N games in one call.

It is for learning. The cartridge is what counts: tests hold every byte of its RAM against this one,
decision by decision, at several timings.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from games.gameboy.console import LEFT, RIGHT, A, B
from games.gameboy.link import SILENT
from games.gameboy.modelled import Modelled
from games.gameboy.parcels import (
    LANES,
    MOST_PARCELS,
    MOST_SPARKS,
    ROWS,
    ParcelsBatched,
    ParcelsConfig,
)
from games.gameboy.ram import OVER, PLAYING


class ModelledParcels(Modelled, ParcelsBatched):
    """``ParcelsBatched`` whose consoles are computed; it has no screens.

    Args:
        config: the game; ``threads`` is not needed here.
        num_games: N.
        seed: the k-th episode of game i has the seed ``seed + i + k * N``.
        restart: whether finished games start again inside ``step``.
    """

    def __init__(
        self, config: ParcelsConfig, num_games: int = 1, seed: int = 0, restart: bool = True
    ) -> None:
        self._stamps = np.zeros((num_games, 2, MOST_PARCELS + 1), np.uint8)
        self._cable = np.zeros((num_games, 2), np.uint8)  # the newest byte from each end
        self._before = np.zeros((num_games, 2), np.uint8)  # keys of the last frame
        timing = config.timing
        # Keys that are due, frame by frame in a ring: those of a choice, and that they are let go.
        self._due = np.zeros((num_games, 2, timing.delay + timing.interval + 2), np.uint8)
        self._clock = np.zeros(num_games, np.int64)
        super().__init__(config, num_games, seed, restart)

    def _begin_games(self, games: NDArray[np.int64]) -> None:
        config = self.config
        self._count[games] = 0
        self.presses.waiting[games] = 0
        self._due[games] = self._before[games] = self._clock[games] = 0
        self._cable[games] = SILENT
        seeds = np.array([self._seed_of(game) for game in games.tolist()], np.uint32)
        for side in (0, 1):
            self.ram["seat"][games, side] = side
        for name in ("pace", "parcels"):
            self.ram[name][games] = getattr(config, name)
        self.ram["sparks_given"][games] = config.sparks
        dice = seeds.astype("<u4").view(np.uint8).reshape(-1, 4)
        self.ram["seed"][games] = dice[:, None]
        _begin(self.ram, self._stamps, self._cable, games, dice)

    def _do_games(self, games: NDArray[np.int64], actions: NDArray[np.int16]) -> NDArray[np.int64]:
        self._done[games, self._count[games]] = actions[games]
        self._count[games] += 1
        timing = self.config.timing
        self.presses.push(games, actions[games])
        keys = self.presses.masks[actions[games]]
        ring = self._due.shape[2]
        at = (self._clock[games] + timing.delay) % ring
        self._due[games, :, at] = keys
        self._due[games, :, (at + 1) % ring] = 0
        _run(
            *(self.ram, self._stamps, self._cable, self._before, self._due, self._clock),
            *(games, timing.interval),
        )
        frames = np.zeros(self.num_games, np.int64)
        frames[games] = timing.interval
        return frames


@njit(cache=True)
def _begin(ram, stamps, cable, games, dice) -> None:  # type: ignore[no-untyped-def]
    """``begin`` of the cartridge, and the rest of the frame in which it is called.

    Args:
        ram: the fields of ``PARCELS`` [N, 2].
        stamps: uint8 [N, 2, MOST_PARCELS + 1], filled, 0 behind the last.
        cable: uint8 [N, 2], the newest byte from each end.
        games: int64 [G], which begin.
        dice: uint8 [G, 4], their seeds; changed.
    """
    for k in range(len(games)):
        g = games[k]
        d = dice[k]
        if not d.any():
            d[0] = 1
        for number in range(-4, ram[g, 0].parcels):
            t = d[0] ^ (d[0] << 4 & 255)
            d[0], d[1], d[2] = d[1], d[2], d[3]
            d[3] = d[2] ^ t ^ d[2] >> 1 ^ (t << 1 & 255)
            if number >= 0:
                stamps[g, 0, number] = d[3] & 3
                stamps[g, 1, number] = d[3] >> 4 & 3
        stamps[g, :, ram[g, 0].parcels] = 0
        for side in range(2):
            me = ram[g, side]
            me.reset = me.ticks = me.keys = 0
            me.lane = me.their_lane = 1
            me.row = me.number = me.their_number = me.right = me.their_right = 0
            me.wait = 1
            me.last = me.their_last = 255
            me.sparks = me.their_sparks = min(me.sparks_given, MOST_SPARKS)
            me.told = me.told_stamp = me.i_told = 0
            me.stamp, me.their_stamp = stamps[g, side, 0], stamps[g, 1 - side, 0]
            me.phase = PLAYING
            cable[g, side] = _say(me)
            _hear(me, stamps[g], cable[g, 1 - side])


@njit(cache=True)
def _run(ram, stamps, cable, before, due, clock, games, frames) -> None:  # type: ignore[no-untyped-def]
    """Frames of both consoles of some games, in turn."""
    for g in games:
        for _ in range(frames):
            at = clock[g] % due.shape[2]
            for side in range(2):
                me = ram[g, side]
                keys = due[g, side, at]
                due[g, side, at] = 0
                me.keys = keys
                if me.phase == PLAYING:
                    _play(me, keys & ~before[g, side], stamps[g, side])
                before[g, side] = keys
                cable[g, side] = _say(me)
                _hear(me, stamps[g], cable[g, 1 - side])
            clock[g] += 1


@njit(cache=True)
def _say(me) -> int:  # type: ignore[no-untyped-def]
    """The byte that a console sends."""
    byte = me.lane | me.i_told << 2 | (me.their_number & 1) << 4 | (me.number & 1) << 5
    return byte | 64 if me.last == 1 else byte


@njit(cache=True)
def _hear(me, stamps, byte) -> None:  # type: ignore[no-untyped-def]
    """What a console makes of the other's byte."""
    if byte & 0x80 or me.phase != PLAYING:
        return
    me.their_lane = byte & 3
    if (byte >> 5 ^ me.their_number) & 1:
        me.their_number += 1
        me.their_last = byte >> 6 & 1
        if me.their_last:
            me.their_right += 1
            me.sparks = min(me.sparks + 1, MOST_SPARKS)
        me.i_told = 0
        me.their_stamp = stamps[1 - me.seat, me.their_number]
    told = byte >> 2 & 3
    if (byte >> 4 ^ me.number) & 1:
        told = 0
    told &= ~me.told
    if told:
        me.told |= told
        me.told_stamp = me.stamp & me.told
        me.their_sparks -= (told & 1) + (told >> 1)


@njit(cache=True)
def _play(me, pressed, stamps) -> None:  # type: ignore[no-untyped-def]
    """A frame of a console's own game."""
    me.ticks += 1
    if me.number != me.parcels:
        if pressed & LEFT and me.lane:
            me.lane -= 1
        if pressed & RIGHT and me.lane != LANES - 1:
            me.lane += 1
    for key, what in ((A, 1), (B, 2)):
        there = me.their_number != me.parcels
        if pressed & key and me.sparks and not me.i_told & what and there:
            me.sparks -= 1
            me.i_told |= what
    if me.number != me.parcels:
        me.wait -= 1
        if not me.wait:
            me.wait = me.pace
            me.row += 1
            if me.row == ROWS:
                me.last = me.lane == me.stamp
                if me.last:
                    me.right += 1
                    me.their_sparks = min(me.their_sparks + 1, MOST_SPARKS)
                me.number += 1
                me.row = me.told = me.told_stamp = 0
                me.stamp = stamps[me.number]
    if me.number == me.parcels and me.their_number == me.parcels:
        me.phase = OVER
