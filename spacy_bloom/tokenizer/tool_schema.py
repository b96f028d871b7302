"""A JSON schema of a Python function, from its type hints and its docstring in Google's form."""

import inspect
import json
import re
from collections.abc import Callable
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from ..errors import InputError

TYPES: dict[Any, dict[str, Any]] = {
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    bool: {"type": "boolean"},
    NoneType: {"type": "null"},
    Any: {},
}
SECTION = re.compile(r"^\s*(Args|Returns|Raises):\s*$", re.MULTILINE)
ARGUMENT = re.compile(r"^\s*(\w+):\s*(.*)$")
CHOICES = re.compile(r"\(choices:\s*(.*?)\)\s*$", re.IGNORECASE)


def describe_tool(tool: Any) -> dict[str, Any]:
    """tool (Callable | dict): A function with type hints and a docstring, or its schema.
    RETURNS (dict[str, Any]): The schema, as chat templates read it.
    RAISES (InputError): Neither, or the function says too little.
    SOURCE: transformers' get_json_schema.
    """
    if isinstance(tool, dict):
        return tool
    if not inspect.isfunction(tool):
        raise InputError(f"Expected tools as functions or JSON schemas, got {tool!r:.80}.")
    documentation = inspect.getdoc(tool)
    if not documentation:
        raise InputError(f"Expected a docstring of {tool.__name__}: it tells the model what the tool does.")
    description, arguments, returns = _read_docstring(documentation.strip())
    parameters = _parameters_of(tool)
    returned = parameters["properties"].pop("return", None)
    for name, schema in parameters["properties"].items():
        if name not in arguments:
            raise InputError(
                f"Expected {name} to be described under Args: in the docstring of {tool.__name__}."
            )
        text = arguments[name]
        choices = CHOICES.search(text)
        if choices:
            schema["enum"] = [choice.strip() for choice in json.loads(choices.group(1))]
            text = text[: choices.start()].strip()
        schema["description"] = text
    function: dict[str, Any] = {"name": tool.__name__, "description": description, "parameters": parameters}
    if returned is not None:
        function["return"] = returned if returns is None else {**returned, "description": returns}
    return {"type": "function", "function": function}


def _read_docstring(text: str) -> tuple[str, dict[str, str], str | None]:
    """RETURNS (tuple[str, dict[str, str], str | None]): The description, the arguments', what is returned."""
    # Even places are texts, odd places names of sections.
    parts = SECTION.split(text)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    arguments: dict[str, str] = {}
    name = ""
    for line in sections.get("Args", "").splitlines():
        found = ARGUMENT.match(line)
        if found:
            name, line = found.groups()
        if line.strip() and name:
            arguments[name] = f"{arguments.get(name, '')} {line.strip()}".strip()
    returns = sections.get("Returns")
    return parts[0].strip(), arguments, None if returns is None else returns.strip()


def _parameters_of(tool: Callable) -> dict[str, Any]:
    required = []
    for name, parameter in inspect.signature(tool).parameters.items():
        if parameter.annotation is inspect.Parameter.empty:
            raise InputError(f"Expected a type hint of {name} in {tool.__name__}.")
        if parameter.default is inspect.Parameter.empty:
            required.append(name)
    properties = {name: _schema_of(hint) for name, hint in get_type_hints(tool).items()}
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    return {**schema, "required": required} if required else schema


def _schema_of(hint: Any) -> dict[str, Any]:
    origin, parts = get_origin(hint), get_args(hint)
    if origin is None:
        return dict(TYPES.get(hint, {"type": "object"}))
    if origin in (Union, UnionType):
        return _union(parts)
    if origin is list:
        return {"type": "array", "items": _schema_of(parts[0])}
    if origin is tuple and len(parts) > 1 and ... not in parts:
        return {"type": "array", "prefixItems": [_schema_of(part) for part in parts]}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema_of(parts[1])}
    raise InputError(
        f"Cannot describe the type {hint} to a model. Write list[...] for several values of one type."
    )


def _union(parts: tuple[Any, ...]) -> dict[str, Any]:
    schemas = [_schema_of(part) for part in parts if part is not NoneType]
    if len(schemas) == 1:
        schema = schemas[0]
    elif all(isinstance(part.get("type"), str) for part in schemas):
        schema = {"type": sorted(part["type"] for part in schemas)}
    else:
        schema = {"anyOf": schemas}
    return {**schema, "nullable": True} if NoneType in parts else schema
