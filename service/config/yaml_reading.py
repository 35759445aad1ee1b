"""YAML as plain values: nothing in it can be executed, imported or built."""

import re
from typing import Any

import yaml

MOST_LEVELS = 50
"""Levels of a tree; the deepest configuration has fewer than ten."""
_MOST_VALUES = 100_000
_TAG = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """Builds texts, numbers, truth values, lists and mappings, and nothing else.

    A key that stands twice is refused, where YAML would take the last.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Builds a mapping and checks its keys."""
        # A list may be tagged as a mapping; it is refused below.
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        written = [key for key, _ in pairs if key.tag != f"{_TAG}merge"]
        built: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        seen: set[object] = set()
        for key_node in written:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key}' stands twice", key_node.start_mark
                )
            seen.add(key)
        return built

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """Builds a whole number from decimal digits, as many as Python can write back."""
        return int(self.construct_scalar(node))


_Loader.yaml_constructors = {
    tag: constructor
    for tag, constructor in yaml.SafeLoader.yaml_constructors.items()
    if tag in {None, *(_TAG + kind for kind in ("null", "bool", "float", "str", "seq", "map"))}
}
_Loader.add_constructor(f"{_TAG}int", _Loader.construct_yaml_int)
# A run may be called 2026-01-31 or 007: dates, and whole numbers that one would write back in
# another way, stay text.
_Loader.yaml_implicit_resolvers = {
    first: [item for item in resolvers if item[0] not in {f"{_TAG}timestamp", f"{_TAG}int"}]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    f"{_TAG}int", re.compile(r"^-?(?:0|[1-9][0-9]*)$"), list("-0123456789")
)


def read_yaml(text: str | bytes) -> Any:  # noqa: ANN401  # any tree
    """Returns the value of a YAML text: mappings, lists, texts, numbers, truth values and None.

    Raises:
        ValueError: It is not YAML, asks for anything else, or is too large; one line says what is
            wrong.
    """
    try:
        tree = yaml.load(text, Loader=_Loader)  # noqa: S506  # a SafeLoader
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(_one_line(error)) from None
    except LookupError as error:
        # PyYAML looks a value up that its tag does not fit, as in `!!bool maybe`.
        raise ValueError(f"a tag does not fit its value ({_one_line(error)})") from None
    _check_size(tree)
    return tree


def _check_size(tree: object) -> None:
    """Raises ValueError for more values or levels than whoever walks or shows a tree can bear.

    A few lines of YAML that refer to each other, or one to itself, can stand for any number.
    """
    waiting = [(tree, 0)]
    count = 0
    while waiting:
        value, level = waiting.pop()
        count += 1
        if count > _MOST_VALUES or level > MOST_LEVELS:
            raise ValueError("it is nested too deeply, or has too many values")
        if isinstance(value, dict):
            value = [*value, *value.values()]
        if isinstance(value, list):
            waiting += [(part, level + 1) for part in value]


def _one_line(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = " ".join(str(getattr(error, "problem", None) or error).split())
    return f"{problem}, line {mark.line + 1}" if mark else problem
