"""Settings text that is hostile or just wrong."""

from __future__ import annotations

import pytest

from backupd.errors import ConfigError
from backupd.model.sets import ConfigDocument
from backupd.settings import yaml_text

_VALUES = ["!!bool x", '!!int ""', '!!float ""', "!!timestamp x", "!!binary é", "!!python/name:os.system"]


@pytest.mark.parametrize("value", _VALUES)
def test_a_tag_that_does_not_fit_its_value_is_a_settings_error(value: str) -> None:
    """Else a slip in a file of conf.d is called a defect of the program, and names no file."""
    with pytest.raises(ConfigError, match="sets.yaml"):
        yaml_text.load(f"sets: {value}\n".encode(), ConfigDocument, "sets.yaml")
