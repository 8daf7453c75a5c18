"""Text as ids: the sentences that a game can say, and the way from sentence to id and back.

A game shows a player *facts* and offers it *choices*. Both are sentences, and both travel as int16
ids into the game's :class:`Phrasebook`; rendering an id gives its sentence back exactly.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

PAD = -1
"""Fills the unused end of a row of ids. It is no phrase."""

MAX_PHRASES = int(np.iinfo(np.int16).max) + 1


class Phrasebook:
    """A list of distinct sentences; a sentence's id is its place in the list.

    Words are separated by single spaces, so that a sentence can be taken apart and put together
    again without loss.

    Args:
        phrases: the sentences, in the order of their ids.
        closed: whether these are all the sentences there will ever be. An open phrasebook grows
            by :meth:`intern`.

    Attributes:
        readable: which other sentences a closed phrasebook takes in, that of somebody who reads:
            None for none.

    Raises:
        ValueError: if a sentence occurs twice, is empty, has stray white space, or if there are
            more than int16 ids can name.
    """

    def __init__(self, phrases: Iterable[str] = (), closed: bool = True) -> None:
        self.closed = closed
        self.readable: Callable[[str], bool] | None = None
        self._shared: _SharedLines | None = None
        self._phrases: list[str] = []
        self._ids: dict[str, int] = {}
        for phrase in phrases:
            if phrase in self._ids:
                raise ValueError(f"phrase {phrase!r} occurs twice; every phrase needs one id")
            self._append(phrase)

    def _append(self, phrase: str) -> int:
        if not phrase or phrase != " ".join(phrase.split()):
            raise ValueError(f"phrase {phrase!r} must be words separated by single spaces")
        if len(self._phrases) == MAX_PHRASES:
            raise ValueError(
                f"phrasebook is full: {MAX_PHRASES} phrases, no id left for {phrase!r}"
            )
        self._ids[phrase] = len(self._phrases)
        self._phrases.append(phrase)
        return self._ids[phrase]

    def __len__(self) -> int:
        """Number of phrases, P."""
        return len(self._phrases)

    def __getitem__(self, id: int) -> str:
        """The sentence of one id (PAD is an error, not the last sentence)."""
        if id < 0:
            raise IndexError(f"{id} is no phrase id")
        return self._phrases[id]

    def __iter__(self) -> Iterator[str]:
        """All sentences in the order of their ids."""
        return iter(self._phrases)

    def __contains__(self, phrase: object) -> bool:
        """Whether the sentence has an id."""
        return phrase in self._ids

    def id(self, phrase: str) -> int:
        """The id of one sentence.

        Raises:
            ValueError: if the phrasebook does not hold it.
        """
        try:
            return self._ids[phrase]
        except KeyError:
            raise ValueError(f"the phrasebook has no phrase {phrase!r}") from None

    def takes(self, phrase: str) -> bool:
        """Whether the sentence has an id, or gets one if it is interned."""
        return (
            phrase in self._ids
            or not self.closed
            or (self.readable is not None and self.readable(phrase))
        )

    def intern(self, phrase: str) -> int:
        """The id of one sentence, added to a phrasebook that takes it if it is new.

        Raises:
            ValueError: if it is new and the phrasebook is closed or full.
        """
        known = self._ids.get(phrase)
        if known is not None:
            return known
        if not self.takes(phrase):
            raise ValueError(f"the phrasebook is closed and has no phrase {phrase!r}")
        return self._append(phrase) if self._shared is None else self._shared.append(phrase)

    def share(self, path: Path) -> None:
        """Shares an open phrasebook with every process that names the same file.

        A sentence that is new anywhere takes the next line of the file, under a lock, so that its
        id is the same everywhere and for ever. The file lies where all of them can write: on one
        machine, or in a folder that machines share.

        Args:
            path: the file; made if it is not there.

        Raises:
            ValueError: if the phrasebook is closed, or a sentence has another id in the file.
        """
        if self.closed:
            raise ValueError(
                "a closed phrasebook is the same everywhere: there is nothing to share"
            )
        self._shared = _SharedLines(self, path)

    def catch_up(self) -> None:
        """Takes over what other processes have added since, where the phrasebook is shared."""
        if self._shared is not None:
            self._shared.read()

    def adopt(self, phrases: Sequence[str]) -> None:
        """Takes over the sentences of another life of an open phrasebook, under the same ids.

        Args:
            phrases: its sentences, in the order of their ids.

        Raises:
            ValueError: if a sentence has another id here, or is new and the phrasebook is closed.
        """
        for i, phrase in enumerate(phrases):
            if i < len(self) and self[i] != phrase:
                raise ValueError(
                    f"phrase {i} is {self[i]!r} here and was {phrase!r}: adopt the saved phrases "
                    "before the game says anything else"
                )
            self.intern(phrase)

    def render(self, ids: ArrayLike) -> list[str]:
        """The sentences of a row of ids, leaving PAD out.

        Args:
            ids: integers [n].
        """
        row = ids if isinstance(ids, list) else np.asarray(ids).tolist()
        phrases = self._phrases
        return [phrases[id] for id in row if id != PAD]

    def parse(self, phrases: Iterable[str]) -> NDArray[np.int16]:
        """The ids of sentences, int16 [n]: the inverse of :meth:`render`.

        Raises:
            ValueError: if the phrasebook does not hold one of them.
        """
        return np.array([self.id(phrase) for phrase in phrases], dtype=np.int16)

    def renaming(self, words: Mapping[str, str]) -> NDArray[np.int16]:
        """Where each id goes when words are replaced, as Other-Play replaces colours.

        Args:
            words: what replaces what, a permutation such as ``{"red": "blue", "blue": "red"}``.

        Returns:
            int16 [P]; ``map[ids]`` renames an array of ids that holds no PAD.

        Raises:
            ValueError: if ``words`` is no permutation, or turns a phrase into one that the
                phrasebook does not hold.
        """
        if sorted(words) != sorted(words.values()):
            raise ValueError(f"renaming {dict(words)} must be a permutation of its words")
        return self.parse(
            " ".join(words.get(word, word) for word in phrase.split(" ")) for phrase in self
        )


class _SharedLines:
    """The file of a shared phrasebook: a sentence a line, in the order of their ids."""

    def __init__(self, book: Phrasebook, path: Path) -> None:
        self.book, self.path = book, path
        self._read = 0  # bytes
        path.touch()
        mine = list(book)
        with path.open("rb+") as file, _locked(file):
            lines = self._take(file)
            for here, there in zip(mine, lines, strict=False):
                if here != there:
                    raise ValueError(
                        f"{path} holds the sentences of another game: {there!r} has the id of "
                        f"{here!r}"
                    )
            self._write(file, mine[len(lines) :])
        for phrase in lines[len(mine) :]:
            book._append(phrase)

    def read(self) -> None:
        """Takes over what others have added."""
        with self.path.open("rb") as file:
            for phrase in self._take(file):
                self.book._append(phrase)

    def append(self, phrase: str) -> int:
        """Adds a sentence, unless somebody else just has; its id."""
        with self.path.open("rb+") as file, _locked(file):
            for other in self._take(file):
                self.book._append(other)
            if phrase in self.book:
                return self.book.id(phrase)
            id = self.book._append(phrase)
            self._write(file, [phrase])
            return id

    def _take(self, file: BinaryIO) -> list[str]:
        """The lines that have not been read yet; one that is half written is left for later."""
        file.seek(self._read)
        text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        return whole.decode().split("\n")[:-1]

    def _write(self, file: BinaryIO, phrases: Sequence[str]) -> None:
        """Adds lines behind what was read: over what a process left half written when it died."""
        text = "".join(f"{phrase}\n" for phrase in phrases).encode()
        file.seek(self._read)
        file.truncate()
        file.write(text)
        file.flush()
        self._read += len(text)


@contextlib.contextmanager
def _locked(file: BinaryIO) -> Iterator[None]:
    """Keeps other processes from writing."""
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def joined(books: Sequence[Phrasebook]) -> Phrasebook:
    """One phrasebook for several games, in which every sentence has one id.

    The ids of the longest book stay as they are. Where all are the same book, so is the result.

    Args:
        books: at least one.
    """
    longest = max(books, key=len)
    if all(book is longest for book in books):
        return longest
    sentences = dict.fromkeys(phrase for book in (longest, *books) for phrase in book)
    return Phrasebook(sentences, closed=all(book.closed for book in books))


def shared(books: Sequence[Phrasebook], path: Path) -> Phrasebook:
    """One phrasebook for several games that are played in several processes (see ``joined``).

    Args:
        books: at least one.
        path: the file through which open ones are shared; all processes name the same.
    """
    book = joined(books)
    if book.closed:
        return book
    # A book of its own: what the games have said already need not be what others said first.
    common = Phrasebook(closed=False)
    common.share(path)
    for phrase in book:
        common.intern(phrase)
    return common


class Translation:
    """From the ids of one phrasebook to those of another, sentence by sentence.

    Args:
        source: whose ids come in. It may grow.
        target: whose ids go out. What it lacks is added to it where it takes it.
    """

    def __init__(self, source: Phrasebook, target: Phrasebook) -> None:
        self.source, self.target = source, target
        self._ids: NDArray[np.int16] = np.full(1, PAD, np.int16)  # PAD last: it is -1
        self._extend()

    @property
    def is_identity(self) -> bool:
        """Whether every id stays what it is, for good."""
        if self.source is self.target:
            return True
        same = np.array_equal(self._ids[:-1], np.arange(len(self.source)))
        return same and self.source.closed

    def __call__(self, ids: NDArray[np.int16]) -> NDArray[np.int16]:
        """Translates an array of ids of any shape; PAD stays PAD.

        Raises:
            ValueError: if the target is closed and lacks one of the sentences.
        """
        if len(self._ids) != len(self.source) + 1:
            self._extend()
        found: NDArray[np.int16] = self._ids[ids]
        unknown = (found == PAD) & (ids != PAD)
        if unknown.any():
            phrase = self.source[int(ids[unknown].flat[0])]
            raise ValueError(f"this player has no word for {phrase!r}: it does not know the game")
        return found

    def _extend(self) -> None:
        known = self._ids[:-1].tolist()
        for id in range(len(known), len(self.source)):
            phrase = self.source[id]
            taken = self.target.takes(phrase)
            known.append(self.target.intern(phrase) if taken else PAD)
        self._ids = np.array([*known, PAD], np.int16)
