"""PanDA's envelope, and the checks of a call's arguments with PanDA's own words.

A method of the API is a function whose first parameter is the `Call`; its other parameters, with their types and
defaults, are what a client may give. Arguments of a GET are text and are converted, those of a POST must have the type.
"""

from __future__ import annotations

import ast
import inspect
import json
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from services.panda.server.auth import Caller
from services.panda.server.database import Database
from services.panda.settings import Settings

NOT_SECURE = "SSL secure connection is required"
NOT_PRODUCTION = "production or pilot role required"
NOT_OWNER = "not the task owner or no production role"
DATABASE_ERROR = "database error in the PanDA server"
LARGEST = 2**63

Reply = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """Who calls, and what the server works with."""

    caller: Caller
    database: Database
    settings: Settings
    verb: str

    @property
    def user(self) -> str:
        """Name of the caller, as tasks carry it."""
        return self.caller.name


@dataclass(frozen=True)
class Method:
    """One method of the API, with what it asks of its caller."""

    function: Callable[..., Reply]
    verb: str | None
    secure: bool
    production: bool
    owner: bool

    def __call__(self, call: Call, arguments: Mapping[str, Any]) -> Reply:
        """Check caller, verb and arguments, in PanDA's order, then do it."""
        refused = self._refused(call)
        if refused:
            return reply(success=False, message=refused)
        try:
            given = self._bind(call, arguments)
        except _WrongArgument as error:
            return reply(success=False, message=str(error))
        if self.owner and not _owns(call, given["task_id"]):
            return reply(success=False, message=NOT_OWNER)
        return self.function(call, **given)

    def _refused(self, call: Call) -> str | None:
        if self.secure and not call.caller.known:
            return NOT_SECURE
        if self.production and not call.caller.production:
            return NOT_PRODUCTION
        if self.verb and self.verb != call.verb:
            return f"expecting {self.verb}, received {call.verb}"
        return None

    def _bind(self, call: Call, arguments: Mapping[str, Any]) -> dict[str, Any]:
        signature = inspect.signature(self.function, eval_str=True)
        try:
            bound = signature.bind(call, **arguments)
        except TypeError as error:
            raise _WrongArgument(f"Argument error: {error}") from error
        bound.apply_defaults()
        given = dict(bound.arguments)
        given.pop(next(iter(signature.parameters)))
        for name, value in given.items():
            parameter = signature.parameters[name]
            if parameter.annotation in (object, Any) or value == parameter.default:
                continue
            if call.verb == "GET":
                value = _convert(name, value, parameter)
            _check(name, value, parameter)
            given[name] = _number(value, parameter)
        return given


METHODS: dict[str, Method] = {}


def method(
    path: str, verb: str | None = None, *, secure: bool = True, production: bool = False, owner: bool = False
) -> Callable[[Callable[..., Reply]], Callable[..., Reply]]:
    """Make a function the method `path` (`module/name`) of the API.

    Args:
        verb: the only HTTP verb it takes, None for any.
        secure: it asks for a token.
        production: it asks for the production role.
        owner: it asks for the role or for the owner of the task in its parameter `task_id`.
    """

    def register(function: Callable[..., Reply]) -> Callable[..., Reply]:
        METHODS[path] = Method(function, verb, secure, production, owner)
        return function

    return register


def reply(*, success: bool, message: str = "", data: Any = None) -> Reply:
    """The envelope."""
    return {"success": success, "message": message, "data": data}


def ok(data: Any = None, message: str = "") -> Reply:
    """The envelope of a call that was obeyed."""
    return reply(success=True, message=message, data=data)


def failed(message: str, data: Any = None) -> Reply:
    """The envelope of a call that was not; PanDA sends it with status 200 as well."""
    return reply(success=False, message=message, data=data)


def encode(answer: Reply, *, as_json: bool) -> bytes:
    """The body: JSON, or Python's own text of the dictionary for a client that did not ask for JSON."""
    text = json.dumps(answer, default=_special) if as_json else str(answer)
    return text.encode("utf-8", "replace")


class _WrongArgument(Exception):
    pass


def _special(value: object) -> Any:
    if isinstance(value, datetime):
        return {"__datetime__": value.isoformat()}
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    raise TypeError(f"{type(value).__name__} has no place in a reply")


def _owns(call: Call, task_id: int) -> bool:
    if call.caller.production:
        return True
    with call.database.transaction() as transaction:
        task = transaction.row("SELECT username FROM tasks WHERE jeditaskid = %s", [task_id])
    return task is not None and task["username"] == call.user


def _convert(name: str, value: Any, parameter: inspect.Parameter) -> Any:
    """The value of a query's text."""
    if value == "None" and parameter.default is None:
        return None
    kind = _kinds(parameter.annotation)[0]
    try:
        if typing.get_origin(kind) is list:
            element = typing.get_args(kind)[0]
            return [_scalar(one, element) for one in ([value] if isinstance(value, str) else value)]
        return _scalar(value, kind)
    except (ValueError, TypeError, AttributeError, OverflowError, SyntaxError, MemoryError, RecursionError):
        raise _WrongArgument(
            f"Type error: '{name}' with value '{value}' could not be casted to type {kind.__name__}"
            f" from {type(value).__name__}."
        ) from None


def _scalar(value: Any, kind: Any) -> Any:
    if kind is str:
        return value
    if kind is bool:
        return value.lower() in ("true", "1")
    if kind is int:
        return int(value) if value.lstrip("-").isdecimal() else int(float(value))
    if kind is float:
        return float(value)
    return ast.literal_eval(value)


def _check(name: str, value: Any, parameter: inspect.Parameter) -> None:
    """Raise unless the value has the parameter's type."""
    if value is None and parameter.default is None:
        return
    kinds = _kinds(parameter.annotation)
    plain = tuple(typing.get_origin(kind) or kind for kind in kinds)
    if not isinstance(value, plain):
        names = " | ".join(kind.__name__ for kind in plain)
        raise _WrongArgument(f"Type error: '{name}' must be of type {names}, got {type(value).__name__}.")
    inner = typing.get_args(kinds[0])
    if plain[0] is list and isinstance(value, list):
        element = typing.get_origin(inner[0]) or inner[0]
        if not all(isinstance(one, element) for one in value):
            raise _WrongArgument(f"Type error: All elements in '{name}' must be {element.__name__}.")
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, int) and abs(one) >= LARGEST:
            raise _WrongArgument(f"Type error: '{name}' is too large for an integer.")


def _number(value: Any, parameter: inspect.Parameter) -> Any:
    """True and false count as numbers for Python, and not for PostgreSQL."""
    kind = _kinds(parameter.annotation)[0]
    if kind is int and isinstance(value, bool):
        return int(value)
    if kind == list[int] and isinstance(value, list):
        return [int(one) for one in value]
    return value


def _kinds(annotation: Any) -> tuple[Any, ...]:
    """The types of a parameter that may also be left out."""
    if isinstance(annotation, types.UnionType):
        return tuple(kind for kind in typing.get_args(annotation) if kind is not types.NoneType)
    return (annotation,)
