"""YAML of settings as plain values, every mistake in it as a sentence with its place."""

import codecs
from pathlib import Path
from typing import Any

import yaml

from lib.errors import SettingsError


class _Loader(yaml.SafeLoader):
    """Refuses a key that a mapping has already: YAML asks for it, and PyYAML takes the last."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._checked: set[int] = set()  # mappings whose own keys are checked; keys that are merged in come later

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge what `<<` names, as PyYAML does before it makes a mapping of a node, also of one that it names."""
        if id(node) not in self._checked:
            self._checked.add(id(node))
            _check_keys(node)
        super().flatten_mapping(node)


def _check_keys(node: yaml.MappingNode) -> None:
    seen = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            if key.value in seen:
                problem = f"{key.value!r} is here a second time: join the two"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(key.value)


def read_yaml(path: Path) -> Any:
    """What the one document of a file holds. Raises SettingsError that names the file and the place of a mistake."""
    content = path.read_bytes()
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"{path}, line {line}: no text in UTF-8: save the file in that encoding") from None
    try:
        return parse_yaml(text)
    except SettingsError as error:
        raise SettingsError(f"{path}, {error}") from None


def parse_yaml(text: str) -> Any:
    """What one document holds. Raises SettingsError that begins with the place of a mistake."""
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "somewhere"
        raise SettingsError(f"{place}: {error.problem or error.context}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SettingsError(f"line {line}: the character {error.character:#06x} is not allowed in YAML") from None
    except (ValueError, RecursionError) as error:  # such as a date that no calendar has
        raise SettingsError(f"a value that YAML cannot hold: {error}") from None
