"""Reads a command's options into a dataclass; what is wrong with them is said in one line."""

from __future__ import annotations

import contextlib
import difflib
import io
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import tyro

from marl.runs.checks import refuse_endless
from transport.exporter import Exporting

Options = TypeVar("Options")

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# Boxes have a frame where the terminal can show it and begin with their title where it cannot.
_FRAME = re.compile(r"^[│ ] |\s*│$", re.MULTILINE)
_EDGE = re.compile(r"^[╭╰].*$", re.MULTILINE)
_RULE = re.compile(r"^\s*[─-]{3,}\s*$", re.MULTILINE)
# The nearest of the options there are, and the values that an option has.
_SIMILAR = re.compile(r"^(?:Arguments similar to \S+|Perhaps you meant):\s+(--\S+)", re.MULTILINE)
_CHOICE = re.compile(r"^[Ii]nvalid choice '(.*?)' for argument .* Expected one of \((.*)\)")


def parse(kind: type[Options], command: str, args: Sequence[str], **tyro_options: Any) -> Options:
    """Reads options into a dataclass, whose docstrings are the help.

    Args:
        kind: the dataclass.
        command: how the command was called, for the help ("troupe train").
        args: what stands behind it on the command line.
        **tyro_options: handed on to ``tyro.cli``, such as ``default``.

    Raises:
        ValueError: if the options cannot be read or the dataclass refuses them, in one line.
        SystemExit: with status 0, after ``--help``.
    """
    message = io.StringIO()
    try:
        # A message that is to become one line must not be wrapped; help goes to the terminal as
        # wide as that is.
        helped = {"-h", "--help"} & set(args)
        with contextlib.redirect_stderr(message), _columns(None if helped else 2000):
            options = tyro.cli(
                kind,
                prog=command,
                args=args,
                config=(tyro.conf.FlagCreatePairsOff,),
                **tyro_options,
            )
            refuse_endless(options, "--")
            return options
    except SystemExit as end:
        if not end.code:
            raise
    raise ValueError(f"{one_line(message.getvalue())} (see {command} --help)")


def exporting(port: int | None, host: str) -> Exporting | None:
    """Where figures are to be offered, by the options --metrics-port and --metrics-host.

    Raises:
        ValueError: if there is no such port.
    """
    return None if port is None else Exporting(port, host)


def one_line(box: str) -> str:
    """What a box of tyro's says, without its frame, its title and its advice."""
    parts = _RULE.split(_FRAME.sub("", _EDGE.sub("", _COLOUR.sub("", box))))
    # Options are indented by four, what they mean by more: their names are enough.
    lines = parts[0 if "╭" in box else 1].splitlines()
    said = " ".join(line.strip() for line in lines if line.strip() and line[:5].strip())
    said = said.removesuffix(".")
    said = re.sub(r"^Error parsing (--?\S+): ", r"\1: ", said)
    said = re.sub(r"^Error parsing \S+: ", "", said)
    said = re.sub(r"^Missing from [\w ]+:", "missing", said)
    # Of an option that may be left out, only what it is otherwise matters.
    said = re.sub(r"^(\S+ )no type matching .*<class '(?!NoneType)\w+'>: ", r"\1", said)
    said = re.sub(r"invalid literal for int\(\) with base 10: (.*)", r"\1 is no whole number", said)
    said = re.sub(r"could not convert string to float: (.*)", r"\1 is no number", said)
    said = said.replace(". Expected 1 values", "")
    near = sorted(set(_SIMILAR.findall(_FRAME.sub("", _COLOUR.sub("", box)))))
    if near:
        said += f": did you mean {' and '.join(near)}?"
    elif chosen := _CHOICE.match(said):
        found = difflib.get_close_matches(chosen[1], re.findall(r"'([^']*)'", chosen[2]), n=1)
        said += f": did you mean {found[0]}?" if found else ""
    return said[:1].lower() + said[1:]


@contextlib.contextmanager
def _columns(width: int | None) -> Iterator[None]:
    """Has the terminal taken for so many columns wide (None: as wide as it is)."""
    if width is None:
        yield
        return
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(width)
    try:
        yield
    finally:
        del os.environ["COLUMNS"]
        if before is not None:
            os.environ["COLUMNS"] = before
