"""Rooms: small folders of modules, entered by the modules that their `__all__` names."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "reco_batch": ROOT / "batch",
    "reco_store": ROOT / "store",
    "reco_cli": ROOT / "cli",
    "reco_terminal": ROOT / "cli",
}
MOST_MODULES = {"reco_batch": 14, "reco_store": 12, "reco_cli": 17, "reco_terminal": 12}


def modules() -> dict[str, Path]:
    """Return the paths of all modules and packages by their dotted name."""
    found = {}
    for package, top in PACKAGES.items():
        for path in (top / package).rglob("*.py"):
            parts = path.relative_to(top).with_suffix("").parts
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


MODULES = modules()
ROOMS = {
    name: path
    for name, path in MODULES.items()
    if path.name == "__init__.py" and (name.count(".") or name == "reco_terminal")
}


def imports(path: Path) -> set[str]:
    """Return the modules of our own that a module imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            for name in (f"{node.module}.{alias.name}" for alias in node.names):
                found.add(name if name in MODULES else node.module)
    return found & set(MODULES)


def face(room: str) -> list[str]:
    """Return `__all__` of a room."""
    for node in ast.parse(ROOMS[room].read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return ast.literal_eval(node.value)
    raise AssertionError(f"{room} has no __all__")


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_a_room_is_entered_by_its_face(room):
    """`__all__` names exactly the modules that are imported from outside the room."""
    entered = {
        name.rpartition(".")[2]
        for module, path in MODULES.items()
        if not f"{module}.".startswith(f"{room}.")
        for name in imports(path)
        if name.rpartition(".")[0] == room and name not in ROOMS
    }

    assert sorted(entered) == face(room)


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_a_room_is_small(package):
    """A folder can be seen whole."""
    folders = {path.parent for name, path in MODULES.items() if name.split(".")[0] == package}

    counts = {folder.name: len(list(folder.glob("*.py"))) for folder in folders}
    assert {name: n for name, n in counts.items() if n > MOST_MODULES[package]} == {}
