"""Two consoles on a link cable, in one thread.

The emulator asks whoever stands for the cable for three calls, ``read``, ``write`` and
``synchronize``. A latch answers them without waiting: each side reads the newest byte that the
other has sent. The consoles take turns at every frame, so the whole is deterministic, and the first
hears the second a frame late.
"""

from __future__ import annotations

from pathlib import Path

from games.gameboy.console import Console

SILENT = 0xFF
"""What is read where nothing is plugged in."""


class Latch:
    """The cable: the newest byte from each end."""

    def __init__(self) -> None:
        self.bytes = [SILENT, SILENT]

    def clear(self) -> None:
        """Forgets what was sent: before a reset, or the past would be heard in the new game."""
        self.bytes = [SILENT, SILENT]

    def port(self, side: int) -> Port:
        """One end, for one console."""
        return Port(self, side)


class Port:
    """One end of a cable, as the emulator calls it.

    When it is plugged in, the emulator finds out which end it has by reading and writing; that is
    answered, and not sent.
    """

    def __init__(self, latch: Latch, side: int) -> None:
        self._latch, self._side = latch, side
        self._plugged = False

    def plug(self) -> None:
        """From now on what is written is sent."""
        self._plugged = True

    def read(self, slot: int) -> int:
        """The newest byte from one end."""
        return self._latch.bytes[slot] if self._plugged else self._side

    def write(self, slot: int, value: int) -> None:
        """Sends a byte from one end."""
        if self._plugged:
            self._latch.bytes[slot] = value

    def synchronize(self) -> None:
        """Does not wait."""


class Pair:
    """Two consoles with the same cartridge, joined by a cable.

    Args:
        cartridge: file of the cartridge, or its bytes.

    Attributes:
        consoles: both.
        frame: frames that have gone by.
        latch: the cable.
    """

    def __init__(self, cartridge: Path | str | bytes) -> None:
        self.latch = Latch()
        ports = [self.latch.port(side) for side in (0, 1)]
        self.consoles = tuple(Console(cartridge, port) for port in ports)
        for port in ports:
            port.plug()

    @property
    def frame(self) -> int:
        """Frames that have gone by."""
        return self.consoles[0].frame

    def tick(self, count: int = 1, render: bool = False) -> None:
        """Runs frames of both, in turn.

        Args:
            count: how many.
            render: whether the last one is drawn.
        """
        first, second = self.consoles
        for left in range(count, 0, -1):
            first.tick(1, render and left == 1)
            second.tick(1, render and left == 1)

    def close(self) -> None:
        """Ends both."""
        for console in self.consoles:
            console.close()
