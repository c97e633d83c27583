"""The program's modules as syntax trees, with their imports resolved."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

PROGRAMS = ("backupd", "bkctl")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Import:
    """One imported module, or one name imported from a package that is no module."""

    target: str
    """`backupd.seal.cipher`, as far down as modules go."""
    name: str
    """What is taken from it; empty: the module."""
    hidden: bool
    """Stands inside a function."""


@dataclass(frozen=True)
class Module:
    """One Python file."""

    name: str
    file: str
    """Path from the top, with slashes."""
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree."""
        return ast.parse(self.text, self.file)

    @property
    def room(self) -> str:
        """Name below the program, `backupd` for the package itself."""
        parts = self.name.split(".")
        return parts[1] if len(parts) > 1 else parts[0]

    def functions(self) -> Iterator[Function]:
        """All functions and methods, nested ones too."""
        return (node for node in ast.walk(self.tree) if isinstance(node, Function))


class House:
    """All modules of both programs below a directory."""

    def __init__(self, top: Path) -> None:
        self.top = top
        files = sorted(path for program in PROGRAMS for path in (top / program).rglob("*.py"))
        self.modules = {module.name: module for module in (_read(top, path) for path in files)}
        self._imports: dict[str, list[Import]] = {}

    def of(self, program: str) -> list[Module]:
        """The modules of one program."""
        return [module for name, module in self.modules.items() if name.split(".")[0] == program]

    def imports(self, module: Module) -> list[Import]:
        """All imports of a module, also of the outside world."""
        if module.name not in self._imports:
            self._imports[module.name] = list(self._find_imports(module))
        return self._imports[module.name]

    def _find_imports(self, module: Module) -> Iterator[Import]:
        inside = {id(inner) for function in module.functions() for inner in ast.walk(function)}
        for node in ast.walk(module.tree):
            hidden = id(node) in inside
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield Import(alias.name, "", hidden)
            elif isinstance(node, ast.ImportFrom):
                origin = self._origin(module, node)
                for alias in node.names:
                    deeper = f"{origin}.{alias.name}"
                    yield Import(deeper, "", hidden) if deeper in self.modules else Import(origin, alias.name, hidden)

    def _origin(self, module: Module, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = module.name.split(".")
        if not module.file.endswith("/__init__.py"):
            package.pop()
        base = package[: len(package) - node.level + 1]
        return ".".join([*base, *([node.module] if node.module else [])])


def _read(top: Path, path: Path) -> Module:
    parts = list(path.relative_to(top).with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    return Module(".".join(parts), path.relative_to(top).as_posix(), path.read_text(encoding="utf-8"))
