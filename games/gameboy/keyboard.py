"""A terminal as a key pad.

A terminal says that a key went down, again and again while it is held, and never that it was let
go. So a key counts as held for a few frames after it was last heard of.
"""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from types import TracebackType

from games.gameboy.console import DOWN, LEFT, RIGHT, SELECT, START, UP, A, B

HOLD = 4
"""Frames that a key counts as held."""
PAD = {
    b"\x1b[A": UP,
    b"\x1b[B": DOWN,
    b"\x1b[C": RIGHT,
    b"\x1b[D": LEFT,
    b"\x1bOA": UP,
    b"\x1bOB": DOWN,
    b"\x1bOC": RIGHT,
    b"\x1bOD": LEFT,
    b"w": UP,
    b"s": DOWN,
    b"d": RIGHT,
    b"a": LEFT,
    b"x": A,
    b"k": A,
    b"z": B,
    b"y": B,
    b"j": B,
    b"\r": START,
    b"\n": START,
    b"\x7f": SELECT,
    b"\t": SELECT,
}
"""What a terminal sends, and the key that it is."""
HELP = "arrows or wasd: move   x: A   z: B   enter: start   tab: select   q: leave"
LEAVE = (b"q", b"\x03", b"\x04")


class Keys:
    """The keys that are held, from what a terminal sends."""

    def __init__(self) -> None:
        self.leave = False
        """Whether the person wants to go."""
        self._until: dict[int, int] = {}
        self._rest = b""

    def feed(self, data: bytes, frame: int) -> None:
        """Takes in what the terminal has sent by a frame; the rest of a sequence may come later."""
        data, self._rest = self._rest + data, b""
        while data:
            size = next((n for n in (3, 1) if data[:n] in PAD or data[:n] in LEAVE), 0)
            if not size:
                if data[0] == 0x1B and len(data) < 3:
                    self._rest = data
                    return
                size = 1
            elif data[:size] in LEAVE:
                self.leave = True
            else:
                self._until[PAD[data[:size]]] = frame + HOLD
            data = data[size:]

    def held(self, frame: int) -> int:
        """The mask of what is held in a frame."""
        self._until = {key: until for key, until in self._until.items() if until > frame}
        return sum(self._until)


class Terminal:
    """A terminal that hands over keys as they are pressed; as it was again on leaving.

    Raises:
        ValueError: if there is no terminal.
    """

    def __init__(self) -> None:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise ValueError("there is no terminal to play in: run it in one")
        self._file = sys.stdin.fileno()

    def __enter__(self) -> Terminal:
        self._before = termios.tcgetattr(self._file)
        tty.setcbreak(self._file)
        sys.stdout.write("\x1b[?1049h\x1b[?25l")  # another screen, no cursor
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        termios.tcsetattr(self._file, termios.TCSADRAIN, self._before)
        sys.stdout.write("\x1b[?25h\x1b[?1049l")
        sys.stdout.flush()

    def read(self) -> bytes:
        """What has been pressed since; does not wait."""
        if select.select([self._file], [], [], 0)[0]:
            return os.read(self._file, 1024)
        return b""

    def show(self, text: str) -> None:
        """Shows a page from the top."""
        sys.stdout.write("\x1b[H" + text.replace("\n", "\x1b[K\n") + "\x1b[K")
        sys.stdout.flush()
