"""Sentences to token ids: WordPiece, as BERT's vocabularies were made for, and hashed words.

WordPiece: a sentence is cleaned and lower-cased, split at spaces and around punctuation, and every
word is cut into the longest pieces that the vocabulary holds, from left to right. Algorithm:
Devlin et al., "BERT" (2019), and Wu et al., "Google's Neural Machine Translation System" (2016),
section 4.1.

Hashed words need no vocabulary, and so suit games whose sentences are not known beforehand.

Either can leave numbers to their values: "0.45" is then one token, whatever the vocabulary.
"""

from __future__ import annotations

import hashlib
import json
import re
import string
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

PAD, UNK, CLS, SEP, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"

# A longer word is unknown as a whole, as in the reference: nobody's vocabulary spells it anyway.
_LONGEST_WORD = 100

_NUMBER = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)(?!\w|\.\d)", re.ASCII)
"""Number that stands on its own; a group, so that splitting keeps it."""

_PUNCTUATION = frozenset(string.punctuation)
_CONTROL = ("Cc", "Cf", "Co", "Cs")
_category = unicodedata.category

# The blocks of Chinese characters, each of which is a word of its own.
_IDEOGRAPHS = (
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0x2F800, 0x2FA1F),
)


class Tokenizer:
    """Cuts sentences into words, and words into tokens.

    Args:
        first: the token before every sentence.
        last: the token after it.
        lowercase: whether sentences are lower-cased and stripped of accents first.

    Attributes:
        valued: whether a number is one token, which stands for its value.
        values: those met so far; the token of the k-th is ``len(tokenizer) + k``.
    """

    def __init__(self, first: int, last: int, lowercase: bool) -> None:
        self.lowercase, self.valued = lowercase, False
        self.values: list[float] = []
        self._first, self._last = first, last
        self._cache: dict[str, tuple[int, ...]] = {}
        self._numbers: dict[float, int] = {}

    def __len__(self) -> int:
        """Number of tokens there are."""
        raise NotImplementedError

    @property
    def checksum(self) -> int:
        """The same where every token stands for the same."""
        raise NotImplementedError

    def knows(self, sentence: str) -> bool:
        """Whether all words of a sentence have been seen in others, or are numbers by value."""
        words = self._parts(sentence)
        return all(isinstance(word, float) or self._has(word) for word in words)

    def _cut(self, word: str) -> tuple[int, ...]:
        """The tokens of a word."""
        raise NotImplementedError

    def _has(self, word: str) -> bool:
        """Whether a word has a token of its own."""
        raise NotImplementedError

    def encode(self, sentences: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Cuts sentences into tokens, each between the first and the last.

        Args:
            sentences: n sentences.

        Returns:
            ids int32 [n, L], padded with 0, L being the longest; and lengths int32 [n], at least 2.
        """
        rows = [self._sentence(sentence) for sentence in sentences]
        lengths = np.array([len(row) for row in rows], dtype=np.int32)
        ids = np.zeros((len(rows), lengths.max(initial=0)), dtype=np.int32)
        for row, pieces in zip(ids, rows, strict=True):
            row[: len(pieces)] = pieces
        return ids, lengths

    def _sentence(self, sentence: str) -> list[int]:
        row = [self._first]
        for word in self._parts(sentence):
            if isinstance(word, float):
                if word not in self._numbers:
                    self._numbers[word] = len(self.values)
                    self.values.append(word)
                row.append(len(self) + self._numbers[word])
                continue
            if word not in self._cache:
                self._cache[word] = self._cut(word)
            row.extend(self._cache[word])
        row.append(self._last)
        return row

    def _parts(self, sentence: str) -> Iterator[str | float]:
        """Words, and numbers where they go by value."""
        parts = _NUMBER.split(sentence) if self.valued else [sentence]
        for place, part in enumerate(parts):
            if place % 2:
                yield float(part)
            else:
                yield from _words(part, self.lowercase)


class HashedWords(Tokenizer):
    """Gives every word two tokens by its spelling: for sentences that nobody knows beforehand.

    The vocabulary is fixed before the first word is read, and no word is outside it. Two words are
    the same to a reader only where both tokens are, as with the hash embeddings of Svenstrup et al.
    2017 (arXiv 1709.03933): of 5,000 words, three pairs on average, at 2,048 buckets.

    Args:
        buckets: values of each of the two tokens.
    """

    def __init__(self, buckets: int = 2048) -> None:
        super().__init__(first=1, last=2, lowercase=True)
        self.buckets = buckets

    def __len__(self) -> int:
        """Number of tokens: padding, first, last, and two of each bucket."""
        return 3 + 2 * self.buckets

    @property
    def checksum(self) -> int:
        """The number of buckets: the rest is the same everywhere."""
        return self.buckets

    def _has(self, word: str) -> bool:
        return True

    def _cut(self, word: str) -> tuple[int, ...]:
        digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
        one, other = (int.from_bytes(half, "little") for half in (digest[:4], digest[4:]))
        return 3 + one % self.buckets, 3 + self.buckets + other % self.buckets


class WordPiece(Tokenizer):
    """Cuts sentences into pieces of a fixed vocabulary.

    A special token written out in a sentence, such as "[SEP]", is read as text: what a game says
    cannot end a sentence.

    Args:
        vocabulary: the pieces in the order of their ids; a piece that continues a word starts with
            "##". It must hold [UNK], [CLS] and [SEP].
        lowercase: whether sentences are lower-cased and stripped of accents first.

    Raises:
        ValueError: if a special token is missing.
    """

    def __init__(self, vocabulary: Iterable[str], lowercase: bool = True) -> None:
        self.vocabulary = tuple(vocabulary)
        self._ids = {piece: i for i, piece in enumerate(self.vocabulary)}
        if missing := [token for token in (UNK, CLS, SEP) if token not in self._ids]:
            raise ValueError(
                f"the vocabulary of {len(self.vocabulary)} pieces has no {', '.join(missing)}; "
                "give one made for BERT, one piece a line"
            )
        super().__init__(self._ids[CLS], self._ids[SEP], lowercase)
        self._unknown = (self._ids[UNK],)

    @classmethod
    def from_sentences(cls, sentences: Iterable[str], valued: bool = False) -> WordPiece:
        """Makes a vocabulary of the words that occur, in the order in which they first do.

        Letters, digits and punctuation come before them, so that a word that occurs in none of
        the sentences is spelled rather than lost. Sentences appended later only append words.

        Args:
            sentences: the sentences.
            valued: whether numbers stand for their values, and so are no words.
        """
        letters = string.ascii_lowercase + string.digits
        pieces = dict.fromkeys([PAD, UNK, CLS, SEP, MASK, *letters, *string.punctuation])
        pieces.update(dict.fromkeys(f"##{letter}" for letter in letters))
        for sentence in sentences:
            text = _NUMBER.sub(" ", sentence) if valued else sentence
            pieces.update(dict.fromkeys(_words(text, lowercase=True)))
        made = cls(pieces)
        made.valued = valued
        return made

    @classmethod
    def from_folder(cls, folder: str | Path) -> WordPiece:
        """Reads the vocabulary of a Hugging Face model: `vocab.txt`, or else `tokenizer.json`.

        Raises:
            ValueError: if the folder has neither, or holds a tokenizer of another kind.
        """
        folder = Path(folder)
        text, full = folder / "vocab.txt", folder / "tokenizer.json"
        settings: dict[str, Any] = {}
        if full.is_file():
            tokenizer = read_json(full)
            settings.update(tokenizer.get("normalizer") or {})
        if (path := folder / "tokenizer_config.json").is_file():
            own = read_json(path)
            if "do_lower_case" in own:
                settings["lowercase"] = own["do_lower_case"]
            if own.get("strip_accents") is not None:
                settings["strip_accents"] = own["strip_accents"]
        lowercase = bool(settings.get("lowercase", True))
        if settings.get("strip_accents") not in (None, lowercase):
            raise ValueError(
                f"the tokenizer in {folder} has strip_accents={settings['strip_accents']} with "
                f"lowercase={lowercase}; only equal settings are supported"
            )
        if text.is_file():
            # Split at "\n" only: some vocabularies hold other characters that end a line.
            pieces = text.read_text(encoding="utf-8").removesuffix("\n").split("\n")
            return cls(pieces, lowercase)
        if full.is_file():
            model = tokenizer.get("model") or {}
            ids = model.get("vocab")
            if model.get("type") != "WordPiece" or not isinstance(ids, dict):
                raise ValueError(
                    f"{full} holds a tokenizer of type {model.get('type')!r}; "
                    "give a model with a WordPiece vocabulary, as BERT has"
                )
            if sorted(ids.values()) != list(range(len(ids))):
                raise ValueError(f"the ids of the vocabulary in {full} are not 0 to {len(ids) - 1}")
            return cls(sorted(ids, key=ids.__getitem__), lowercase)
        raise ValueError(
            f"no vocab.txt or tokenizer.json in {folder}; give the folder of a Hugging Face model"
        )

    def __len__(self) -> int:
        """Number of pieces in the vocabulary."""
        return len(self.vocabulary)

    @property
    def checksum(self) -> int:
        """Of the vocabulary, in its order."""
        return crc32("\n".join(self.vocabulary).encode())

    def pieces(self, sentence: str) -> list[str]:
        """The pieces of one sentence, as a person reads them."""
        row = self._sentence(sentence)
        return [(*self.vocabulary, *(f"{value:g}" for value in self.values))[i] for i in row]

    def _has(self, word: str) -> bool:
        return word in self._ids

    def _cut(self, word: str) -> tuple[int, ...]:
        """The longest piece that fits, again and again; all of the word or [UNK]."""
        if len(word) > _LONGEST_WORD:
            return self._unknown
        pieces: list[int] = []
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            for end in range(len(word), start, -1):
                piece = self._ids.get(prefix + word[start:end])
                if piece is not None:
                    break
            else:
                return self._unknown
            pieces.append(piece)
            start = end
        return tuple(pieces)


def _words(text: str, lowercase: bool) -> list[str]:
    """Cleans a text and splits it at spaces and around punctuation and ideographs."""
    if text.isascii() and text.isprintable():
        text = text.lower() if lowercase else text
        spaced = (f" {c} " if c in _PUNCTUATION else c for c in text)
        return "".join(spaced).split()
    text = "".join(_clean(text))
    if lowercase:
        text = "".join(c for c in unicodedata.normalize("NFD", text) if _category(c) != "Mn")
        # Letter by letter: a final sigma is lowered like any other.
        text = "".join(c.lower() for c in text)
    spaced = (f" {c} " if c in _PUNCTUATION or _category(c)[0] == "P" else c for c in text)
    return "".join(spaced).split()


def _clean(text: str) -> Iterable[str]:
    """Drops control characters, sets ideographs apart, and makes every white space a space."""
    for c in text:
        if c in "\t\n\r":
            yield " "
        elif c == "\ufffd" or _category(c) in _CONTROL:
            continue
        elif c.isspace():
            yield " "
        elif any(first <= ord(c) <= last for first, last in _IDEOGRAPHS):
            yield f" {c} "
        else:
            yield c


def read_json(path: Path) -> dict[str, Any]:
    """Reads one of the JSON files that come with a model.

    Raises:
        ValueError: if it holds no JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no JSON object")
    return content
