"""The phrasebook: sentences to ids and back."""

from __future__ import annotations

import numpy as np
import pytest

from games import PAD, Phrasebook
from games.hanabi.phrases import PHRASEBOOK, locate


def test_rendering_and_parsing_are_inverse() -> None:
    ids = np.arange(len(PHRASEBOOK), dtype=np.int16)
    sentences = PHRASEBOOK.render(ids)
    assert len(set(sentences)) == len(PHRASEBOOK)
    parsed = PHRASEBOOK.parse(sentences)
    assert parsed.dtype == np.int16
    assert np.array_equal(parsed, ids)


def test_padding_is_not_rendered() -> None:
    book = Phrasebook(["a b", "c"])
    assert book.render([1, PAD, 0, PAD]) == ["c", "a b"]
    with pytest.raises(IndexError):
        book[PAD]


def test_closed_phrasebook_knows_only_its_own() -> None:
    book = Phrasebook(["a b", "c"])
    with pytest.raises(ValueError, match="no phrase 'd'"):
        book.parse(["c", "d"])
    with pytest.raises(ValueError, match="closed"):
        book.intern("d")
    assert book.intern("c") == 1


def test_open_phrasebook_grows() -> None:
    book = Phrasebook(closed=False)
    assert [book.intern(s) for s in ("one", "two", "one")] == [0, 1, 0]
    assert list(book) == ["one", "two"]
    assert "two" in book


@pytest.mark.parametrize("phrase", ["", " a", "a  b", "a\nb"])
def test_stray_white_space_is_refused(phrase: str) -> None:
    with pytest.raises(ValueError, match="single spaces"):
        Phrasebook([phrase])


def test_double_and_too_many_are_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        Phrasebook(["a", "a"])
    with pytest.raises(ValueError, match="full"):
        Phrasebook(str(i) for i in range(2**15 + 1))
    assert len(Phrasebook(str(i) for i in range(2**15))) == 2**15


def test_renaming_replaces_words() -> None:
    words = {"red": "blue", "blue": "green", "green": "red"}
    renaming = PHRASEBOOK.renaming(words)
    assert np.array_equal(np.sort(renaming), np.arange(len(PHRASEBOOK)))
    there_and_back = renaming[renaming[renaming]]
    assert np.array_equal(there_and_back, np.arange(len(PHRASEBOOK)))
    for id in range(0, len(PHRASEBOOK), 7):
        old, new = PHRASEBOOK[id].split(), PHRASEBOOK[int(renaming[id])].split()
        assert [words.get(word, word) for word in old] == new
        assert locate(id)[0] is locate(int(renaming[id]))[0]


@pytest.mark.parametrize("words", [{"red": "blue"}, {"red": "pink"}, {"red": "blue", "blue": "x"}])
def test_renaming_refuses_what_is_no_permutation(words: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="permutation"):
        PHRASEBOOK.renaming(words)


def test_renaming_refuses_to_leave_the_phrasebook() -> None:
    with pytest.raises(ValueError, match="no phrase"):
        PHRASEBOOK.renaming({"red": "card", "card": "red"})
