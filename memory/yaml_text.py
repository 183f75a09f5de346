"""YAML that a stranger wrote, read as plain values.

In: a text. Out: what it says; or `YamlRefused` with the line: where it is malformed, names a field twice, or is nested
or multiplied beyond reason. Neighbours: arcmemo and python_files read files with it.
"""

from typing import Any, Final

import yaml  # type: ignore[import-untyped]

MAX_VALUES: Final = 1_000_000
"""Once every alias is written out."""


class YamlRefused(ValueError):
    """What is wrong, in words; line: counted from 1, None where the whole text is meant."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.line = line


def read_yaml(text: str) -> Any:
    """The value of the text; raises YamlRefused."""
    try:
        value = yaml.load(text, Loader=_Loader)
        _unfolded(value, {})
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise YamlRefused(reason, None if mark is None else mark.line + 1) from error
    except RecursionError as error:
        raise YamlRefused("it is nested too deeply") from error
    except YamlRefused:
        raise
    except ValueError as error:  # a number that is too long
        raise YamlRefused(str(error)) from error
    return value


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """YAML's own reader lets a second field of the same name replace the first without a word; this one refuses it."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    problem = f"it has {key.value!r} twice"
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                seen.add((key.tag, key.value))
        made: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return made


# A day stays as it is written: JSON, in which rows are kept, has no days.
_Loader.add_constructor("tag:yaml.org,2002:timestamp", yaml.SafeLoader.construct_yaml_str)


def _unfolded(value: Any, known: dict[int, int]) -> int:
    """How many values it is with every alias written out: a few that hold each other can be more than memory has."""
    if not isinstance(value, dict | list | tuple):
        return 1 + len(value) // 1000 if isinstance(value, str | bytes) else 1
    if id(value) not in known:
        known[id(value)] = 0  # not known yet: whoever meets it again inside has met a circle
        inside = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_unfolded(one, known) for one in inside)
    size = known[id(value)]
    if not size:
        raise YamlRefused("it holds an alias of something that the alias is part of")
    if size > MAX_VALUES:
        raise YamlRefused(f"its aliases, written out, are more than {MAX_VALUES:,} values")
    return size
