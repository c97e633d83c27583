"""The house rules: each looks at all modules and gives its complaints, none when all is well."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from graphlib import CycleError, TopologicalSorter

from tests.house import floors
from tests.house.house import Function, House, Module

Rule = Callable[[House], Iterator[str]]
ERROR_ROOMS = ("errors", "store_errors", "notice_errors", "command_errors")

_CLOCKS = {
    "time": {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "clock_gettime"},
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
}
_ENVIRONMENT = {"os": {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}}


def rooms_are_known(house: House) -> Iterator[str]:
    """A room that stands on no floor could import anything."""
    for module in house.of("backupd"):
        if module.room not in floors.FLOORS:
            yield f"{module.file}: room '{module.room}' has no floor"


def imports_point_down(house: House) -> Iterator[str]:
    """A lower room that knows a higher one can't be used, tested or changed without it."""
    for module in house.of("backupd"):
        for item in house.imports(module):
            room = _room_of(house, item.target)
            if room is None or room == module.room:
                continue
            here, there = floors.FLOORS.get(module.room, 0), floors.FLOORS.get(room, 99)
            if there > here or (there == here and room != "backupd" and (module.room, room) not in floors.NEIGHBOURS):
                yield f"{module.file}: imports {item.target} (floor {there} from floor {here})"


def backupd_does_not_know_bkctl(house: House) -> Iterator[str]:
    """The daemon must run where the command line is not installed."""
    for module in house.of("backupd"):
        for item in house.imports(module):
            if item.target.split(".")[0] == "bkctl":
                yield f"{module.file}: imports {item.target}"


def client_knows_little(house: House) -> Iterator[str]:
    """bkctl starts fast and works with another backupd because it knows only the language between them."""
    for module in house.of("bkctl"):
        for item in house.imports(module):
            room = _room_of(house, item.target)
            if room is None:
                continue
            if room not in floors.CLIENT_ROOMS or (room == "backupd" and item.name != "__version__"):
                yield f"{module.file}: imports {item.target} {item.name}".rstrip()


def no_rings(house: House) -> Iterator[str]:
    """Modules in a ring can only be understood all at once."""
    graph = {
        name: {item.target for item in house.imports(module) if item.target in house.modules and item.target != name}
        for name, module in house.modules.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        yield "ring: " + " <- ".join(error.args[1])


def no_hidden_imports(house: House) -> Iterator[str]:
    """An import inside a function fails late and hides what a module needs."""
    for module in house.modules.values():
        for item in house.imports(module):
            if item.hidden and (module.file, item.target) not in floors.HIDDEN_IMPORTS:
                yield f"{module.file}: imports {item.target} inside a function"


def rooms_are_small(house: House) -> Iterator[str]:
    """Files and functions that outgrow a screen's worth of thought are split before others lean on them."""
    for module in house.modules.values():
        lines = module.text.count("\n")
        if lines > floors.MAX_FILE_LINES:
            yield f"{module.file}: {lines} lines"
        for function in module.functions():
            lines = (function.end_lineno or function.lineno) - function.lineno + 1
            if lines > floors.MAX_FUNCTION_LINES:
                yield f"{module.file}: {function.name} has {lines} lines"
            parameters = _parameters(function)
            if parameters > floors.MAX_PARAMETERS:
                yield f"{module.file}: {function.name} has {parameters} parameters"


def one_clock(house: House) -> Iterator[str]:
    """What reads a clock by itself can't be tested across midnight, leap or a step of the clock."""
    for module in house.modules.values():
        if module.file not in floors.CLOCK_READERS:
            for what in _uses(module, _CLOCKS):
                yield f"{module.file}: reads {what}"


def environment_is_read_at_the_door(house: House) -> Iterator[str]:
    """Settings read anywhere can't be shown, checked or handed to a job."""
    for module in house.modules.values():
        if not any(
            module.file == place or (place.endswith("/") and module.file.startswith(place))
            for place in floors.ENVIRONMENT_READERS
        ):
            for what in _uses(module, _ENVIRONMENT):
                yield f"{module.file}: reads {what}"


def broad_excepts_are_few(house: House) -> Iterator[str]:
    """An error caught by everything is an error nobody hears of."""
    for module in house.modules.values():
        allowed = 1 if module.file in floors.BROAD_EXCEPTS else 0
        handlers = [node for node in ast.walk(module.tree) if isinstance(node, ast.ExceptHandler)]
        broad = [handler for handler in handlers if _is_broad(handler) and not _raises_again(handler)]
        if len(broad) > allowed:
            yield f"{module.file}: {len(broad)} broad except clauses, {allowed} allowed"


def names_say_something(house: House) -> Iterator[str]:
    """A room with a vague name collects what nobody wants to place."""
    for module in house.modules.values():
        for part in module.name.split("."):
            if part in floors.VAGUE_NAMES:
                yield f"{module.file}: '{part}' names nothing"


def public_names_are_explained(house: House) -> Iterator[str]:
    """A public name without a sentence is guessed at by its next reader."""
    for module in house.modules.values():
        if not ast.get_docstring(module.tree):
            yield f"{module.file}: no docstring"
        for owner, node in _public(module.tree.body):
            if not ast.get_docstring(node):
                yield f"{module.file}: {owner}{node.name} has no docstring"


def errors_stand_together(house: House) -> Iterator[str]:
    """An error class elsewhere is missing from the reference, with its exit code."""
    for module in house.of("backupd"):
        if module.room in ERROR_ROOMS:
            continue
        files = tuple(f"backupd.{room}" for room in ERROR_ROOMS)
        taken = {item.name for item in house.imports(module) if item.target in files}
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef):
                for base in node.bases:
                    if ast.unparse(base).split(".")[-1] in taken or ast.unparse(base).startswith("errors."):
                        yield f"{module.file}: {node.name} belongs into a file of errors"


RULES: tuple[Rule, ...] = (
    rooms_are_known,
    imports_point_down,
    backupd_does_not_know_bkctl,
    client_knows_little,
    no_rings,
    no_hidden_imports,
    rooms_are_small,
    one_clock,
    environment_is_read_at_the_door,
    broad_excepts_are_few,
    names_say_something,
    public_names_are_explained,
    errors_stand_together,
)


def _room_of(house: House, target: str) -> str | None:
    parts = target.split(".")
    if parts[0] != "backupd":
        return None
    return parts[1] if len(parts) > 1 else "backupd"


def _parameters(function: Function) -> int:
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return sum(argument.arg not in ("self", "cls") for argument in named)


def _uses(module: Module, names: dict[str, set[str]]) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute):
            owner = ast.unparse(node.value).split(".")[-1]
            if node.attr in names.get(owner, ()):
                yield f"{owner}.{node.attr}"
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                if alias.name in names.get(node.module or "", ()):
                    yield f"{node.module}.{alias.name}"


def _is_broad(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(ast.unparse(kind).split(".")[-1] in ("Exception", "BaseException") for kind in kinds)


def _raises_again(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def _public(body: list[ast.stmt], owner: str = "") -> Iterator[tuple[str, ast.ClassDef | Function]]:
    for node in body:
        if isinstance(node, ast.ClassDef | Function) and not node.name.startswith("_"):
            yield owner, node
            if isinstance(node, ast.ClassDef):
                yield from _public(node.body, f"{owner}{node.name}.")
