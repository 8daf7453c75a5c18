"""The floors of the house, and that what is packaged is whole."""

from __future__ import annotations

import ast
import configparser
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("agents", "games", "marl", "scripts", "transport", "troupe")

# What a floor may import of the house, besides itself; and libraries that it must do without.
BELOW = {
    "games": set(),
    "transport": set(),
    "agents": {"games"},
    "marl": {"agents", "games", "transport"},
    "scripts": {"agents", "games", "marl", "transport"},
    "troupe": {"agents", "games", "marl"},
}
# The same for the rooms of marl; what lies beside them is below them all.
ROOMS = {
    "acting": set(),
    "replay": set(),
    "learning": {"replay"},
    "runs": {"acting", "learning", "replay"},
    "crossplay": {"acting", "runs"},
    "compare": {"runs"},
    "tabular": {"acting"},
    "lio": set(),
    "remote": {"acting", "learning", "replay", "runs"},
}
WITHOUT = {"games": {"torch", "zmq"}, "transport": {"torch"}}

# Of games, agents know the text and the arrays, not the rules. Only rule-based players of a game
# read its facts as numbers.
TEXT_INTERFACE = {"games", "games.core", "games.text"}
NUMBERS = {
    "bots": {
        "games.chance",
        "games.gameboy.pieces",
        "games.hanabi.cards",
        "games.hanabi.phrases",
        "games.hanabi.view",
        "games.mpe.phrases",
        "games.mpe.reference",  # a planner knows the physics, of what its facts say
    }
}


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(file: Path) -> Iterator[str]:
    """Full names of the modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively"
            yield str(node.module)


def roots(package: str) -> set[str]:
    return {name.partition(".")[0] for file in sources(package) for name in imports(file)}


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_go_down_only(package: str) -> None:
    assert len(sources(package)) > 1
    above = set(PACKAGES) - BELOW[package] - {package} | {"tests"}
    assert not roots(package) & above
    assert not roots(package) & WITHOUT.get(package, set())


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_of_marl_know_only_those_below(room: str) -> None:
    known = {
        name.split(".")[1]
        for file in sources(f"marl/{room}")
        for name in imports(file)
        if name.startswith("marl.")
    }
    assert known - {"core", "episodes", "lanes", room} <= ROOMS[room]


def test_every_room_of_marl_is_listed() -> None:
    assert {file.parent.name for file in sources("marl")} == {*ROOMS, "marl"}


def test_agents_know_text_and_no_rules() -> None:
    for file in sources("agents"):
        known = {name for name in imports(file) if name.partition(".")[0] == "games"}
        assert known <= TEXT_INTERFACE | NUMBERS.get(file.parent.name, set()), file


@pytest.mark.parametrize("package", [*PACKAGES, "tests"])
def test_nothing_is_unpickled(package: str) -> None:
    assert not roots(package) & {"pickle", "cloudpickle", "dill", "marshal", "shelve"}
    for file in sources(package):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert isinstance(node.value, ast.Constant), file
                assert node.value.value is False, file
            if isinstance(node, ast.Attribute) and ast.unparse(node) == "torch.load":
                raise AssertionError(f"{file}:{node.lineno} unpickles")


def test_every_folder_of_code_is_packaged() -> None:
    folders = {file.parent for package in PACKAGES for file in sources(package)}
    assert not [folder for folder in folders if not (folder / "__init__.py").is_file()]
    assert all((ROOT / package / "py.typed").is_file() for package in PACKAGES)


def test_everything_that_is_imported_is_declared() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    requirements = [
        line
        for lines in (
            setup["options"]["install_requires"],
            *dict(setup["options.extras_require"]).values(),
        )
        for line in lines.split()
    ]
    # jax and jaxmarl are measured against where somebody has installed them; ray is an extra that
    # the tests do without.
    declared = {"jax", "jaxmarl", "ray", *PACKAGES}
    modules = metadata.packages_distributions()
    names = {
        requirement.partition(">")[0].lower().replace("_", "-") for requirement in requirements
    }
    declared |= {
        module
        for module, distributions in modules.items()
        if names & {name.lower().replace("_", "-") for name in distributions}
    }
    used = set().union(*(roots(package) for package in PACKAGES))
    assert not used - declared - set(sys.stdlib_module_names)


def test_the_console_script_is_declared() -> None:
    (script,) = metadata.entry_points(group="console_scripts", name="troupe")
    assert script.value == "scripts.cli:main"
    assert callable(script.load())


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_says_what_it_is(package: str) -> None:
    for file in sources(package):
        text = file.read_text(encoding="utf-8")
        assert not text.strip() or ast.get_docstring(ast.parse(text)), f"{file} has no docstring"


def test_no_receive_waits() -> None:
    """Sockets are made in one place, where waiting is switched off, and read in one place."""
    receives = {f"recv{ending}" for ending in ("", "_multipart", "_string", "_json", "_into")}
    exempt = {ROOT / "transport" / "sockets.py", ROOT / "scripts" / "bench" / "wire.py"}
    for package in PACKAGES:
        for file in set(sources(package)) - exempt:
            if "zmq" not in {name.partition(".")[0] for name in imports(file)}:
                continue
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    name, where = node.func.attr, f"{file}:{node.lineno}"
                    assert name not in receives, f"{where} receives without transport.sockets"
                    assert name != "socket", f"{where} makes a socket without transport.sockets"
                if isinstance(node, ast.Attribute):
                    assert node.attr.lower() != "rcvtimeo", f"{file}:{node.lineno} lets it wait"
