"""The imports of the source, read and not executed: those inside functions and under TYPE_CHECKING too.

What a module needs to know is what counts, not when it is loaded.  `ci/tables` draws them, and
`tests/test_imports.py` holds them to their direction.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "testbed"


class Import(NamedTuple):
    """One imported module, absolute, and where the statement stands."""

    importer: str
    imported: str
    line: int

    def __str__(self) -> str:
        return f"{self.importer}, line {self.line}: imports {self.imported}"


def module_name(file: Path, root: Path) -> str:
    """The dotted name under which `file` is imported, when `root` is on the path."""
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(source: str, importer: str, *, is_package: bool) -> Iterator[Import]:
    """Every import in `source`, relative ones resolved, `from a import b` as a.b."""
    home = importer.split(".") if is_package else importer.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(importer, alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            base = home[: len(home) - node.level + 1] if node.level else []
            prefix = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield Import(importer, f"{prefix}.{alias.name}", node.lineno)


def imports_under(folder: Path, root: Path) -> list[Import]:
    return [
        found
        for file in sorted(folder.rglob("*.py"))
        if not file.is_relative_to(PACKAGE / "servers")  # the link; read as servers/
        for found in imports_of(
            file.read_text(encoding="utf-8"), module_name(file, root), is_package=file.name == "__init__.py"
        )
    ]


def part_of(module: str) -> str | None:
    """The part of testbed a dotted name belongs to: "wire" for testbed.wire.segment; None for others."""
    names = module.split(".")
    return names[1] if names[0] == "testbed" and len(names) > 1 else None


def between_parts(imports: Sequence[Import]) -> list[tuple[Import, str, str]]:
    """The imports from one part of testbed to another, as (import, from, to).

    testbed/__init__.py belongs to no part: it is the public door to all of them, and the plugin test below
    sees to it that it opens them on first use only.
    """
    return [
        (found, importer, imported)
        for found in imports
        if (importer := part_of(found.importer)) and (imported := part_of(found.imported))
        if importer != imported and imported != "servers" and not imported.startswith("__version")
    ]
