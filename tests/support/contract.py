"""The published schema as tests hold documents against it."""

from __future__ import annotations

from typing import Any


def strict(node: Any) -> Any:
    """The schema with nothing allowed that it does not name."""
    if isinstance(node, list):
        return [strict(one) for one in node]
    if not isinstance(node, dict):
        return node
    made = {name: strict(one) for name, one in node.items()}
    if isinstance(made.get("properties"), dict) and made.get("type") == "object":
        made.setdefault("additionalProperties", False)
    return made
