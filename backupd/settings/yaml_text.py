"""YAML documents of known shape: read safely, what does not fit told with its line and the nearest right name."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
import yaml

from backupd.errors import ConfigError

MOST_BYTES = 4 << 20
_MOST_DEPTH = 32
_QUOTES = "put text that looks like something else, or has signs in it, in quotes"
_BOOL, _STR = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:str"
_MOST_NODES = 50_000
_MOST_PARTS = 16
"""YAML 1.1 takes `1:30` for a number; with thousands of parts, to tell and to read it would take long."""
_MOST_COMPARED = 64
"""Characters of a name that is compared with the known ones: with millions of them it would take long."""
_PATH = re.compile(r" - at `(key` in `)?(\$[^`]*)`")
_UNKNOWN = re.compile(r"Object contains unknown field `([^`]*)`")
_NO_CHOICE = re.compile(r"Invalid enum value '([^']*)'")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")

Shape = TypeVar("Shape")


class _Loader(yaml.CSafeLoader):
    """The safe loader, for names that are text: YAML 1.1 takes a plain `on` for a truth value."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """A map whose names are what stands there."""
        for key, _ in node.value:
            if key.tag == _BOOL:
                key.tag = _STR
        return super().construct_mapping(node, deep)


@dataclass(frozen=True, slots=True)
class Located(Generic[Shape]):
    """A document that was read, with the lines of its parts."""

    value: Shape
    name: str
    """Of the file."""
    root: yaml.Node | None
    """None of an empty document."""

    def where(self, *steps: str | int) -> str:
        """`FILE, line N` of the part at the end of these steps, or of the last one on the way that is there."""
        return f"{self.name}{_line(self._find(steps)[0])}"

    def has(self, *steps: str | int) -> bool:
        """Whether that part is written there."""
        return self._find(steps)[1] == len(steps)

    def _find(self, steps: tuple[str | int, ...]) -> tuple[Any, int]:
        """The mark of the last part on the way, and how many steps lead to it."""
        node, mark = self.root, None
        for count, step in enumerate(steps):
            if isinstance(node, yaml.MappingNode):
                pair = next(((key, value) for key, value in node.value if key.value == step), None)
                if pair is None:
                    return mark, count
                mark, node = pair[0].start_mark, pair[1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
                node = node.value[step]
                mark = node.start_mark
            else:
                return mark, count
        return mark, len(steps)


def load(data: bytes, shape: type[Shape], name: str) -> Shape:
    """Read a document. name: of the file, for messages; an empty document is the shape's defaults.

    Raises ConfigError with file and line.
    """
    return load_located(data, shape, name).value


def load_located(data: bytes, shape: type[Shape], name: str) -> Located[Shape]:
    """The same, with the lines of its parts."""
    if len(data) > MOST_BYTES:
        raise ConfigError(f"{name} is over {MOST_BYTES >> 20} MiB", hint="split it")
    try:
        check_size(data, name)
        node = yaml.compose(data, Loader=yaml.CSafeLoader)
        if node is None:
            return Located(msgspec.convert({}, shape), name, None)
        _check_keys(node, name)
        # The same bytes again: constructing from the node would lose its marks.
        value = yaml.load(data, Loader=_Loader)  # noqa: S506 - the safe loader, in C
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ConfigError(f"{name}{_line(mark)}: {error.problem or 'is no YAML'}", hint=_QUOTES) from error
    except (yaml.YAMLError, RecursionError, ValueError, LookupError, AttributeError) as error:
        # The last two: what the safe loader raises at `!!bool x`, `!!int ""`, `!!timestamp x`.
        raise ConfigError(f"{name} is no YAML: {error}", hint=_QUOTES) from error
    try:
        return Located(msgspec.convert(value, shape, strict=True), name, node)
    except msgspec.ValidationError as error:
        raise _explained(str(error), node, shape, name) from error


def check_size(data: bytes | str, name: str) -> None:
    """Refuse what would make more of a small file than it is: aliases, deep nesting, very many parts, endless numbers.

    Nothing is built before this has looked through all of it. Raises ConfigError, YAMLError.
    """
    depth = nodes = 0
    for event in yaml.parse(data, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
            continue
        if not isinstance(event, yaml.NodeEvent):
            continue
        where = f"{name}{_line(event.start_mark)}"
        nodes += 1
        if event.anchor is not None:
            raise ConfigError(f"{where}: anchors and aliases are not taken", hint="write it out")
        if depth > _MOST_DEPTH or nodes > _MOST_NODES:
            raise ConfigError(f"{where}: too deep or too large", hint="split it")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.ScalarEvent) and event.value.count(":") > _MOST_PARTS and _is_number(event):
            raise ConfigError(f"{where}: a number of more than {_MOST_PARTS} parts", hint="quote what is text")


def _is_number(event: yaml.ScalarEvent) -> bool:
    if event.tag is None:
        return bool(event.implicit[0] and event.value[0] in "+-0123456789")
    return bool(event.tag.endswith("int"))


def _check_keys(root: yaml.Node, name: str) -> None:
    """Refuse keys given twice, and such as are no text."""
    todo = [root]
    while todo:
        node = todo.pop()
        if isinstance(node, yaml.MappingNode):
            keys: set[str] = set()
            for key, value in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    raise ConfigError(f"{name}{_line(key.start_mark)}: a name is text, no list or map", hint=_QUOTES)
                if key.value in keys:
                    where = f"{name}{_line(key.start_mark)}"
                    raise ConfigError(f"{where}: '{key.value}' is given twice", hint="give it once")
                keys.add(str(key.value))
                todo.append(value)
        elif isinstance(node, yaml.SequenceNode):
            todo += node.value


def _explained(message: str, root: yaml.Node, shape: Any, name: str) -> ConfigError:
    """The error with the line that it is about and, for an unknown name, the nearest known one."""
    found = _PATH.search(message)
    path = found[2] if found else "$"
    text = _PATH.sub("", message)
    unknown = _UNKNOWN.search(text) or _NO_CHOICE.search(text)
    node, info = _walk(root, shape, path)
    mark = node.start_mark
    hint = _QUOTES if "Expected `str" in text else "docs/settings.md says what goes there"
    if unknown is not None:
        is_key = found is not None and found[1] is not None
        known = _known(getattr(info, "key_type", info) if is_key else info)
        mark = _key_mark(node, unknown[1]) or mark
        near = difflib.get_close_matches(unknown[1][:_MOST_COMPARED], known, 1, 0.5)
        text = f"'{unknown[1]}' is not known here"
        hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
    where = path.removeprefix("$").lstrip(".")
    return ConfigError(f"{name}{_line(mark)}: {text}" + f" ({where})" * bool(where), hint=hint)


def _known(info: msgspec.inspect.Type) -> list[str]:
    """Names of a struct's fields, or the words to choose from."""
    if isinstance(info, msgspec.inspect.StructType):
        return [field.encode_name for field in info.fields]
    return [str(one) for one in info.values] if isinstance(info, msgspec.inspect.LiteralType) else []


def _walk(root: yaml.Node, shape: Any, path: str) -> tuple[yaml.Node, msgspec.inspect.Type]:
    """The node at a path of a message, and its type."""
    node, info = root, msgspec.inspect.type_info(shape)
    for step in _STEP.finditer(path):
        name, index = step[1], step[2]
        info = _without_none(info)
        if name is not None and isinstance(node, yaml.MappingNode):
            node = next((value for key, value in node.value if key.value == name), node)
            if isinstance(info, msgspec.inspect.StructType):
                info = next((f.type for f in info.fields if f.encode_name == name), info)
        elif index is not None and isinstance(node, yaml.SequenceNode) and index.isdigit():
            node = node.value[int(index)] if int(index) < len(node.value) else node
            info = getattr(info, "item_type", info)
        elif index is not None:
            info = getattr(info, "value_type", info)
    return node, _without_none(info)


def _without_none(info: msgspec.inspect.Type) -> msgspec.inspect.Type:
    if isinstance(info, msgspec.inspect.UnionType):
        return next((one for one in info.types if not isinstance(one, msgspec.inspect.NoneType)), info)
    return info


def _key_mark(node: yaml.Node, name: str) -> Any:
    if isinstance(node, yaml.MappingNode):
        return next((key.start_mark for key, _ in node.value if key.value == name), None)
    return None


def _line(mark: Any) -> str:
    return f", line {mark.line + 1}" if mark is not None else ""
