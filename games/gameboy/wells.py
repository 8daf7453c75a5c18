"""What becomes of a piece: the rules of ``blocks`` once more, to look ahead.

The cartridge plays; this foresees, frame by frame, what it will do with the keys that a placement
takes, and what the well looks like then. ``settle`` has it happen, where no cartridge does
(``games.gameboy.blocks_model``). Tests hold the two together.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from games.gameboy.console import LEFT, RIGHT, UP, A, B
from games.gameboy.pieces import CELLS, HEIGHT, SCORE, SPAWN, SPEED, TURNS, WIDTH
from games.gameboy.ram import OVER

NOTHING = -1
"""The placement of who comes too late: the piece lands by itself."""
MAX_PLACEMENTS = 36
FULL = (1 << WIDTH) - 1

_TURNS = np.array(TURNS, np.int8)
_SPEED, _SCORE = np.array(SPEED), np.array(SCORE)


@njit(cache=True)
def fits(rows, kind, turn, column, row) -> bool:  # type: ignore[no-untyped-def]
    """Whether a piece has room there; ``rows`` uint16 [16]."""
    for k in range(4):
        y = row + CELLS[kind, turn, k, 0]
        x = column + CELLS[kind, turn, k, 1]
        if x < 0 or x >= WIDTH or y >= HEIGHT or rows[y] >> x & 1:
            return False
    return True


@njit(cache=True)
def frame(rows, piece, pressed, speed) -> bool:  # type: ignore[no-untyped-def]
    """A frame of the cartridge, but for what comes after a landing.

    Args:
        rows: uint16 [16], the well.
        piece: int64 [5], kind, turn, column, row, wait: changed in place.
        pressed: mask of the keys that are new in this frame.
        speed: frames a row.

    Returns:
        whether the piece has landed where it is.
    """
    kind, turn, column, row = piece[0], piece[1], piece[2], piece[3]
    if pressed & LEFT:
        if fits(rows, kind, turn, column - 1, row):
            column -= 1
    elif pressed & RIGHT and fits(rows, kind, turn, column + 1, row):
        column += 1
    piece[2] = column
    if pressed & (A | B):
        turned = (turn + (1 if pressed & A else 3)) & 3
        if fits(rows, kind, turned, column, row):
            turn = turned
            piece[1] = turn
    if pressed & UP:
        while fits(rows, kind, turn, column, piece[3] + 1):
            piece[3] += 1
        return True
    piece[4] -= 1
    if piece[4] == 0:
        piece[4] = speed
        if not fits(rows, kind, turn, column, row + 1):
            return True
        piece[3] = row + 1
    return False


@njit(cache=True)
def presses(turn, column, want_turn, want_column):  # type: ignore[no-untyped-def]
    """The keys that take a piece from one turn and column to others.

    Returns:
        the key that turns it and how often, the key that moves it and how often.
    """
    turns = (want_turn - turn) & 3
    by = A
    if turns == 3:
        by, turns = B, 1
    way = LEFT if want_column < column else RIGHT
    return by, turns, way, abs(want_column - column)


@njit(cache=True)
def land(rows, kind, turn, column, row, out) -> int:  # type: ignore[no-untyped-def]
    """Puts a piece into a well and takes full rows out.

    Args:
        rows: uint16 [16].
        kind: of the piece.
        turn: as it lies.
        column: of its box.
        row: of its box.
        out: uint16 [16], the well then.

    Returns:
        how many rows were full.
    """
    for y in range(HEIGHT):
        out[y] = rows[y]
    for k in range(4):
        x = column + CELLS[kind, turn, k, 1]
        out[row + CELLS[kind, turn, k, 0]] |= np.uint16(1 << x)
    target = HEIGHT - 1
    for y in range(HEIGHT - 1, -1, -1):
        if out[y] != FULL:
            out[target] = out[y]
            target -= 1
    filled = target + 1
    for y in range(filled):
        out[y] = 0
    return filled


@njit(cache=True)
def measure(rows, heights):  # type: ignore[no-untyped-def]
    """Heights of the columns (int64 [10], filled in), empty cells under others, and roughness.

    Roughness is the sum of the steps from column to column.
    """
    buried = rough = 0
    for x in range(WIDTH):
        heights[x] = 0
        for y in range(HEIGHT):
            if rows[y] >> x & 1:
                if not heights[x]:
                    heights[x] = HEIGHT - y
            elif heights[x]:
                buried += 1
        if x:
            rough += abs(heights[x] - heights[x - 1])
    return buried, rough


@njit(cache=True)
def fall(rows, start, speed, lead, turn, column, drop):  # type: ignore[no-untyped-def]
    """Runs a piece through the driver's keys until it lands.

    Args:
        rows: uint16 [16], the well.
        start: int64 [5], the piece as it is.
        speed: frames a row.
        lead: frames before the first key.
        turn: as it should lie.
        column: where it should be.
        drop: whether it is dropped there; else nothing is pressed at all.

    Returns:
        the row where it lands, -1 if it never gets there; and after how many frames.
    """
    by, turns, way, moves = presses(start[1], start[2], turn, column)
    piece = start.copy()
    last = lead + 2 * max(turns, moves) if drop else HEIGHT * speed + speed
    for now in range(last + 1):
        keys = 0
        if drop and now == last:
            keys = UP
        elif drop and now >= lead and not (now - lead) & 1:
            k = (now - lead) // 2
            keys = (by if k < turns else 0) | (way if k < moves else 0)
        if frame(rows, piece, keys, speed):
            there = piece[1] == turn and piece[2] == column and now == last
            return (piece[3] if there or not drop else -1), now + 1
    return -1, last + 1


@njit(cache=True)
def foresee(rows, piece, speed, held, delay, placements, effects) -> int:  # type: ignore[no-untyped-def]
    """Every placement that the driver can reach, and what it leads to.

    Args:
        rows: uint16 [16], the well.
        piece: int64 [5], kind, turn, column, row, wait.
        speed: frames a row.
        held: mask of the keys of the last frame.
        delay: frames that go by before the first key.
        placements: int64 [MAX_PLACEMENTS, 2], filled with the turn and the column of each;
            ``NOTHING`` where the piece lands before anything can be done.
        effects: int64 [MAX_PLACEMENTS, 5], filled with rows that are filled, cells that are buried
            (fewer: negative), height at which the piece lands (of its lowest cell, from 0), how
            much rougher the well is, and frames until the landing.

    Returns:
        how many there are, at least 1.
    """
    heights = np.zeros(WIDTH, np.int64)
    then = np.zeros(HEIGHT, np.uint16)
    buried, rough = measure(rows, heights)
    found = 0
    for option in range(4 * (WIDTH + 1) + 1):
        turn, column = option // (WIDTH + 1), option % (WIDTH + 1) - 1
        drop = turn < 4
        if drop and (turn >= _TURNS[piece[0]] or not _inside(piece[0], turn, column)):
            continue
        if not drop:  # the last option, for who has no other
            if found:
                break
            turn, column = piece[1], piece[2]
        by, turns, way, moves = presses(piece[1], piece[2], turn, column)
        first = (by if turns else 0) | (way if moves else 0)
        # The same key again is a new press only if a frame without it lies between.
        lead = 1 if delay == 0 and (first if first else UP) & held else delay
        row, frames = fall(rows, piece, speed, lead, turn, column, drop)
        if row < 0:
            continue
        placements[found, 0] = turn if drop else NOTHING
        placements[found, 1] = column if drop else NOTHING
        lowest = 0
        for cell in range(4):
            lowest = max(lowest, CELLS[piece[0], turn, cell, 0])
        effects[found, 0] = land(rows, piece[0], turn, column, row, then)
        after, rougher = measure(then, heights)
        effects[found, 1] = after - buried
        effects[found, 2] = HEIGHT - 1 - (row + lowest)
        effects[found, 3] = rougher - rough
        effects[found, 4] = frames
        found += 1
    return found


@njit(cache=True)
def _inside(kind, turn, column) -> bool:  # type: ignore[no-untyped-def]
    for cell in range(4):
        x = column + CELLS[kind, turn, cell, 1]
        if x < 0 or x >= WIDTH:
            return False
    return True


@njit(cache=True)
def foresee_all(rows, pieces, speeds, held, delay, placements, effects, counts) -> None:  # type: ignore[no-untyped-def]
    """``foresee`` for N wells: arrays with one more axis, counts int16 [N] filled."""
    for game in range(len(rows)):
        held_here, speed = held[game], speeds[game]
        found = foresee(
            rows[game], pieces[game], speed, held_here, delay, placements[game], effects[game]
        )
        counts[game] = found


@njit(cache=True)
def settle(ram, dice, games, actions, delay, frames) -> None:  # type: ignore[no-untyped-def]
    """Has placements happen: what the cartridge's RAM is when the next piece is there.

    Args:
        ram: the fields of ``BLOCKS`` [N, 1], changed.
        dice: uint8 [N, 4], the state of each game's chance, changed.
        games: int64 [G], in which.
        actions: int16 [N, 1], 16 times the turn, plus the column and 1; or ``NOTHING``.
        delay: frames that go by before the first key.
        frames: int64 [N], filled with the frames that it takes.
    """
    out = np.zeros(HEIGHT, np.uint16)
    piece = np.zeros(5, np.int64)
    for g in games:
        me, action = ram[g, 0], actions[g, 0]
        piece[0], piece[1], piece[2] = me.kind, me.turn, np.int8(me.column)
        piece[3], piece[4] = me.row, me.wait
        drop = action != NOTHING
        turn, column = (action >> 4, (action & 15) - 1) if drop else (piece[1], piece[2])
        by, turns, way, moves = presses(piece[1], piece[2], turn, column)
        first = (by if turns else 0) | (way if moves else 0)
        lead = 1 if delay == 0 and (first if first else UP) & me.keys else delay
        row, frames[g] = fall(me.rows, piece, _SPEED[me.level], lead, turn, column, drop)
        filled = land(me.rows, me.kind, turn, column, row, out)
        for y in range(HEIGHT):
            me.rows[y] = out[y]
        me.ticks += frames[g]
        me.keys = UP if drop else 0
        me.pieces += 1
        if not me.steady:
            me.level = min(me.level + (me.lines + filled) // 10 - me.lines // 10, 9)
        me.lines += filled
        me.score += _SCORE[filled]
        me.kind, me.next = me.next, draw(dice[g])
        me.turn, me.row, me.column, me.wait = 0, 0, SPAWN, _SPEED[me.level]
        if not fits(out, me.kind, 0, SPAWN, 0):
            me.phase = OVER


@njit(cache=True)
def roll(dice) -> int:  # type: ignore[no-untyped-def]
    """The cartridge's chance: a xorshift over four bytes, uint8 [4], which are changed."""
    t = dice[0] ^ (dice[0] << 4 & 255)
    dice[0], dice[1], dice[2] = dice[1], dice[2], dice[3]
    dice[3] = dice[2] ^ t ^ dice[2] >> 1 ^ (t << 1 & 255)
    return dice[3]


@njit(cache=True)
def draw(dice) -> int:  # type: ignore[no-untyped-def]
    """The cartridge's next kind of piece; ``dice`` uint8 [4] are changed."""
    while True:
        kind = roll(dice) & 7
        if kind != 7:
            return kind


@njit(cache=True)
def draw_first(ram, dice, games) -> None:  # type: ignore[no-untyped-def]
    """Draws the first piece and the next of games that begin; the arguments of ``settle``."""
    for g in games:
        for _ in range(4):
            roll(dice[g])
        ram[g, 0].kind, ram[g, 0].next = draw(dice[g]), draw(dice[g])


def schedule(
    turn: int, column: int, want_turn: int, want_column: int, held: int
) -> list[tuple[int, int]]:
    """The driver: when which keys are held, to bring a piece somewhere and let it drop.

    Args:
        turn: as the piece lies.
        column: where it is.
        want_turn: as it should lie.
        want_column: where it should be.
        held: mask of the keys of the last frame.

    Returns:
        frames from now and the masks from them on; the last one drops the piece.
    """
    by, turns, way, moves = presses(turn, column, want_turn, want_column)
    masks: list[tuple[int, int]] = []
    for k in range(max(turns, moves)):
        masks.append((2 * k, (by if k < turns else 0) | (way if k < moves else 0)))
        masks.append((2 * k + 1, 0))
    masks.append((2 * max(turns, moves), UP))
    if masks[0][1] & held:
        masks = [(0, 0), *((at + 1, keys) for at, keys in masks)]
    return masks


def new_piece(kind: int, speed: int) -> NDArray[np.int64]:
    """A piece as it appears: kind, turn, column, row, wait."""
    return np.array([kind, 0, SPAWN, 0, speed])
