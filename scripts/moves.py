"""What a person types at a table: commands and moves, in full, in short, or by number."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

COMMANDS = ("?", "facts", "table", "help", "save", "quit")
_OTHER_NAMES = {"q": "quit", "exit": "quit", "leave": "quit", "h": "help", "advice": "?"}

_FILLERS = {"i", "card", "cards", "which", "are", "is", "partner", "rank", "the"}
_WORDS = {"1": "one", "2": "two", "3": "three", "4": "four", "5": "five"}
_SHOWN = 5  # of the moves that something typed may mean


def command_of(said: str) -> str | None:
    """The command that a word stands for, whatever its case; None for none.

    Args:
        said: a word; the beginning of a command is enough where no other begins like it.
    """
    word = said.lower()
    if word in COMMANDS:
        return word
    if word in _OTHER_NAMES:
        return _OTHER_NAMES[word]
    begun = [command for command in COMMANDS if command.startswith(word)]
    return begun[0] if len(begun) == 1 and word else None


def choice_of(said: str, choices: Sequence[str], numbered: Sequence[str] | None = None) -> int:
    """The choice that a person means.

    Args:
        said: a number, a choice's sentence, or the words of it that matter, or their beginnings:
            "play 3", "tell A red", "tell b twos", "t a r".
        choices: the sentences of what can be done now.
        numbered: the sentences behind the numbers, from 1 on; those of ``choices`` by default.

    Raises:
        ValueError: if it is none of them, or may be several.
    """
    numbered = choices if numbered is None else numbered
    if said.isdecimal():
        if not 1 <= int(said) <= len(numbered):
            raise ValueError(f"there is no move {said}: numbers run from 1 to {len(numbered)}")
        sentence = numbered[int(said) - 1]
        if sentence not in choices:
            raise ValueError(f"{said} is {sentence!r}, which is no move that can be made now")
        return choices.index(sentence)
    meant = _essence(said)
    for index, choice in enumerate(choices):
        if _essence(choice) == meant:
            return index
    found = [index for index, choice in enumerate(choices) if _begun(meant, choice)]
    if len(found) == 1:
        return found[0]
    if found:
        some = [" ".join(short(choices[index])) for index in found[:_SHOWN]]
        more = ", ..." if len(found) > _SHOWN else ""
        raise ValueError(f"{said!r} may mean {', '.join(some)}{more}: say more of it")
    known = [" ".join(_essence(choice)) for choice in choices]
    near = difflib.get_close_matches(" ".join(meant), [*known, *COMMANDS], n=1)
    advice = f"did you mean {near[0]}?" if near else "help lists what you can type"
    raise ValueError(f"{said!r} is no move that can be made now: {advice}")


def short(choice: str) -> tuple[str, str]:
    """A choice in two parts, what is done and with what: ("play", "card 3"), ("tell A", "red")."""
    words = choice.split()
    if words[:1] != ["I"] or len(words) < 2:
        return "", choice
    if words[1] == "tell" and len(words) > 4:
        return f"tell {words[3]}", words[-1]
    return words[1], " ".join(words[2:])


def _essence(sentence: str) -> list[str]:
    """The words of a sentence that tell it from others."""
    words = [word for word in sentence.lower().replace(",", " ").split() if word not in _FILLERS]
    if words[:1] == ["tell"] and len(words) > 2:
        words[-1] = _value(words[-1])
    return words


def _value(word: str) -> str:
    word = word.removesuffix("s")
    return _WORDS.get(word, word)


def _begun(meant: Sequence[str], choice: str) -> bool:
    """Whether a choice has words that begin like these, in their order."""
    words = iter(_essence(choice))
    return bool(meant) and all(
        any(word.startswith(part) or word == _value(part) for word in words) for part in meant
    )
