"""The form of an answer that a person asks for: a type or a JSON Schema, and values read by it.

In: a wish, such as `int`, `list[str]`, a dataclass, "number" or a JSON Schema. Out: an `AnswerForm`, whose schema can
be written down, and which reads what a model has answered, or says in one sentence what is wrong with it. Neighbours:
`hints` tells types, `fitting` reads values, `answering` guides a model that writes one. Pure.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from toolsets.errors import AnswerError
from toolsets.fitting import Fitter, Misfit, shown
from toolsets.hints import JsonSchema, Reader, Told, kind_of, tell_hints
from toolsets.schemas import followed, options

KINDS: Final[Mapping[str, JsonSchema]] = {
    "int": {"type": "integer"},
    "number": {"type": "number"},
    "bool": {"type": "boolean"},
    "text": {"type": "string"},
    "date": {"type": "string", "format": "date"},
}
_EXAMPLE: Final = 'such as int, list[str], a dataclass, or a JSON Schema like {"type": "integer"}'
_MAX_CHARS: Final = 20_000


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """schema: JSON Schema of the answer. reader: makes of its JSON value what the wish was for."""

    schema: JsonSchema = field(hash=False)
    reader: Reader | None = field(default=None, hash=False, compare=False, repr=False)

    @classmethod
    def of(cls, wish: Any) -> AnswerForm:
        """From a type, a name of a kind (int, number, bool, text, date) or a JSON Schema; raises AnswerError."""
        if isinstance(wish, AnswerForm):
            return wish
        if isinstance(wish, str):
            if wish not in KINDS:
                raise AnswerError(f"There is no kind of answer {wish!r:.60}; give {', '.join(KINDS)} or a JSON Schema.")
            return cls(dict(KINDS[wish]))
        if isinstance(wish, Mapping):
            return cls(_checked(wish))
        told = Told() if inspect.isroutine(wish) else tell_hints({"answer": wish})
        if "answer" not in told.schemas:
            reason = f" ({told.untold['answer']})" if "answer" in told.untold else ""
            raise AnswerError(f"An answer cannot be asked for as {wish!r:.60}{reason}: give a type, {_EXAMPLE}.")
        schema = told.schemas["answer"] | ({"$defs": told.definitions} if told.definitions else {})
        return cls(schema, told.readers.get("answer"))

    def read(self, text: str) -> Any:
        """The value of an answer, as JSON or as a person would write it; raises AnswerError."""
        value = self._written(text.strip())
        try:
            value = Fitter(self.schema, lambda *_: None).fit("The answer", value, self.schema)
        except Misfit as misfit:
            raise AnswerError(f"{misfit.place} must be {misfit.expected}, not {shown(misfit.value)}.") from None
        if self.reader is None:
            return value
        try:
            return self.reader(value)
        except Exception as error:  # pydantic's, and whatever a class makes of a value that it refuses
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise AnswerError(f"The answer does not fit: {reason}") from None

    def _written(self, text: str) -> Any:
        if not text:
            raise AnswerError("There is no answer.")
        kinds = [kind_of(one) for one in options(self.schema, self.schema)]
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            structured = all(kind in ("list", "object") for kind in kinds)
            if structured:
                raise AnswerError(f"The answer is no JSON, or was cut off: {shown(text)}.") from None
            return text
        # A text that looks like a number stays one, where a text is asked for: "007".
        bare = not isinstance(value, str) and not text.startswith('"')
        return text if bare and all(kind in ("text", "date") for kind in kinds) else value


def _checked(schema: Mapping[str, Any]) -> JsonSchema:
    """The schema, where it is one that can be asked for."""
    try:
        copy: JsonSchema = json.loads(written := json.dumps(schema, ensure_ascii=False, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise AnswerError(f"The schema of the answer is no JSON ({error}).") from error
    if len(written) > _MAX_CHARS:
        raise AnswerError(f"The schema of the answer has {len(written):,} characters; give up to {_MAX_CHARS:,}.")
    if copy != dict(schema):
        raise AnswerError("The schema of the answer is no JSON: its names must be texts.")
    from jsonschema import Draft202012Validator, SchemaError

    try:
        Draft202012Validator.check_schema(copy)
    except SchemaError as error:
        place = "".join(f"[{step!r}]" for step in error.absolute_path)
        raise AnswerError(
            f"The schema of the answer is not JSON Schema{place and f' at {place}'}: {error.message}."
        ) from None
    except RecursionError:
        raise AnswerError("The schema of the answer is nested too deeply.") from None
    _check_names(copy, copy)
    return copy


def _check_names(schema: Any, root: JsonSchema) -> None:
    """That definitions and properties which the schema speaks of are there."""
    if isinstance(schema, list):
        for part in schema:
            _check_names(part, root)
    if not isinstance(schema, dict):
        return
    if isinstance(schema.get("$ref"), str) and not followed(schema, root):
        raise AnswerError(f"The schema of the answer refers to {schema['$ref']!r:.80}, which it does not define.")
    if schema.get("enum") == []:
        raise AnswerError("The schema of the answer has an enum without values: give at least one.")
    if properties := schema.get("properties"):
        for name in schema.get("required", ()):
            if name not in properties:
                raise AnswerError(f"The schema of the answer requires {name!r:.80}, which is none of its properties.")
    for key, part in schema.items():
        if key not in ("enum", "const", "default", "examples"):
            _check_names(part, root)
