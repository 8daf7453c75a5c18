"""One console: keys that change at the frame they are due, frames with numbers of our own.

PyBoy is the emulator. What is added is what a loop needs that may not lose a frame: ``frame``
counts every frame from the start and never goes back (PyBoy's own count does not survive a loaded
state), keys are given as a mask and a frame, a picture is a copy, and an hour of keys can be handed
over ahead of the frames that they belong to. ``tick`` runs without the interpreter's lock.
"""

from __future__ import annotations

import heapq
import io
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it tells which SDL it found, whether or not one is used
    from pyboy import PyBoy
    from pyboy.utils import WindowEvent

CLOCK, FRAME_CYCLES = 4_194_304, 70_224
FRAME_RATE = CLOCK / FRAME_CYCLES
"""Frames per second of the machine: 59.7275."""

KEYS = ("a", "b", "select", "start", "right", "left", "up", "down")
"""Names of the keys; key k is bit k of a mask."""
A, B, SELECT, START, RIGHT, LEFT, UP, DOWN = (1 << k for k in range(8))

PALETTE = (0xF4EBD9, 0xD9A66B, 0x8A5A44, 0x2B2233)
"""Colours of the four shades, the lightest first."""

_EVENTS = [
    (getattr(WindowEvent, f"PRESS_{name}"), getattr(WindowEvent, f"RELEASE_{name}"))
    for name in (
        *("BUTTON_A", "BUTTON_B", "BUTTON_SELECT", "BUTTON_START"),
        *("ARROW_RIGHT", "ARROW_LEFT", "ARROW_UP", "ARROW_DOWN"),
    )
]


def mask(names: Iterable[str]) -> int:
    """The mask of some keys.

    Raises:
        ValueError: if there is no such key.
    """
    keys = 0
    for name in names:
        if name not in KEYS:
            raise ValueError(f"there is no key {name!r}; there are {', '.join(KEYS)}")
        keys |= 1 << KEYS.index(name)
    return keys


class Console:
    """A Game Boy with a cartridge in it.

    Args:
        cartridge: file of the cartridge, or its bytes.
        port: one end of a link cable (``games.gameboy.link``), None for none.
        palette: colours of the four shades.
        symbols: a file of names for addresses, for PyBoy's wrappers that need one.

    Attributes:
        frame: frames that have gone by.
        keys: the mask of what is held in the next frame, unless something is due.
        pyboy: the emulator.

    Raises:
        ValueError: if the file is no cartridge.
        OSError: if it cannot be read.
    """

    def __init__(
        self,
        cartridge: Path | str | bytes,
        port: object | None = None,
        palette: tuple[int, int, int, int] = PALETTE,
        symbols: Path | None = None,
    ) -> None:
        data = cartridge if isinstance(cartridge, bytes) else Path(cartridge).read_bytes()
        check_header(data, "cartridge" if isinstance(cartridge, bytes) else str(cartridge))
        # From memory: a file would bring its .ram with it, and games would not begin alike.
        self.pyboy = PyBoy(
            io.BytesIO(data),
            window="null",
            sound_emulated=False,
            log_level="ERROR",
            color_palette=palette,
            symbols=None if symbols is None else str(symbols),
            ram_file=io.BytesIO(),
            serial_shared_memory=port,
            serial_interrupt_based=port is not None,
        )
        self.pyboy.set_emulation_speed(0)
        self.frame = 0
        self.keys = 0
        self._due: list[tuple[int, int, int]] = []  # frame, order, mask
        self._order = 0

    def hold(self, keys: int, frame: int | None = None) -> None:
        """Holds these keys, and no others, from a frame on.

        Args:
            keys: the mask.
            frame: number of the first frame that sees them; the next one if None.

        Raises:
            ValueError: if that frame has gone by, or the mask names no keys.
        """
        if not 0 <= keys < 256:
            raise ValueError(f"a mask of keys must be 0 to 255, got {keys}")
        due = self.frame if frame is None else frame
        if due < self.frame:
            raise ValueError(f"frame {due} has gone by: the next one is {self.frame}")
        self._order += 1
        heapq.heappush(self._due, (due, self._order, keys))

    def cancel(self) -> None:
        """Lets all keys go, and forgets what was to be held later."""
        self._due.clear()
        self.hold(0)

    def tick(self, count: int = 1, render: bool = False) -> None:
        """Runs frames; keys change at the frames where they are due.

        Args:
            count: how many.
            render: whether the last one is drawn; without it, ``screen`` shows an older one.
        """
        last = self.frame + count
        due = self._due
        while due and due[0][0] < last:
            frame, _, keys = heapq.heappop(due)
            # Of two masks for one frame, the one that came last counts.
            if due and due[0][0] == frame:
                continue
            changed = self.keys ^ keys
            self.keys = keys
            for key, (press, release) in enumerate(_EVENTS):
                if changed >> key & 1:
                    event = press if keys >> key & 1 else release
                    self.pyboy.send_input(event, frame - self.frame)
        self.pyboy.tick(count, render, False)
        self.frame = last

    def screen(self) -> NDArray[np.uint8]:
        """The picture of the last frame that was drawn, uint8 [144, 160, 3]: a copy."""
        # All of it is copied, because a copy without the fourth byte takes 50 times as long.
        copied: NDArray[np.uint8] = self.pyboy.screen.ndarray.copy()
        return copied[:, :, :3]

    def read(self, address: int, size: int) -> bytes:
        """Bytes of the console's memory."""
        return bytes(self.pyboy.memory[address : address + size])

    def write(self, address: int, data: bytes | Iterable[int]) -> None:
        """Changes bytes of the console's memory."""
        memory = self.pyboy.memory
        for offset, byte in enumerate(data):
            memory[address + offset] = byte

    def close(self) -> None:
        """Ends the emulator; what a cartridge would save is not saved."""
        self.pyboy.stop(save=False)


def check_header(data: bytes, name: str) -> None:
    """Looks at the header that every cartridge has.

    Args:
        data: the cartridge.
        name: what to call it in the error.

    Raises:
        ValueError: if it is too short, or the header's checksum (at 0x14D) is wrong.
    """
    if len(data) < 0x8000:
        raise ValueError(
            f"{name} is no Game Boy cartridge: {len(data)} bytes, at least 32768 wanted"
        )
    if sum(-byte - 1 for byte in data[0x134:0x14D]) & 0xFF != data[0x14D]:
        raise ValueError(f"{name} is no Game Boy cartridge: the checksum of its header is wrong")
