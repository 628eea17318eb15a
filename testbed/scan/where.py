"""`--where`: which connections are wanted, in a small part of Python's own words.

    ending == 'half-closed' and first_fin == 'client'
    'missing-fin' in findings or 0 < handshake_ns < 1000
    server_port in (80, 443) and not severity == None

Names of columns, strings, numbers, None, comparisons, `in`, `and`, `or`, `not`.  Nothing is called and
nothing looked up: the expression is read as a tree, and whatever else is in it is refused.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from ..errors import UsageError
from .columns import BY_NAME, Column, Numbers, Rows, Told
from .layout import Array

Filter = Callable[[Rows], Array]
"""Answers a mask."""

_Operand = Column | str | int | float | tuple[Any, ...] | None

_COMPARISONS: Final[dict[type[ast.cmpop], Callable[[Any, Any], Any]]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.eq,
    ast.IsNot: operator.ne,
    ast.In: lambda left, right: left in right,
    ast.NotIn: lambda left, right: left not in right,
}
_ORDER: Final = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_MEMBER: Final = (ast.In, ast.NotIn)
MOST_NODES: Final = 1000


def parse(text: str) -> Filter:
    """The filter that an expression describes.  Error handling: UsageError, in one line."""
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UsageError(f"{_shown(text)}: {getattr(error, 'msg', None) or 'it cannot be read'}") from None
    if sum(1 for _ in ast.walk(tree)) > MOST_NODES:
        raise UsageError(f"--where: too long; at most {MOST_NODES} words")
    try:
        return _condition(tree.body)
    except UsageError as error:
        raise UsageError(f"{_shown(text)}: {error}") from None


def _shown(text: str) -> str:
    return f"--where {text!r}" if len(text) < 200 else f"--where {text[:200]!r}..."


def _condition(node: ast.expr) -> Filter:
    match node:
        case ast.BoolOp(op=op, values=parts):
            combine = np.logical_and if isinstance(op, ast.And) else np.logical_or
            conditions = [_condition(part) for part in parts]
            return lambda rows: combine.reduce([condition(rows) for condition in conditions])
        case ast.UnaryOp(op=ast.Not(), operand=part):
            condition = _condition(part)
            return lambda rows: ~condition(rows)
        case ast.Compare(left=first, ops=ops, comparators=others):
            operands = [_operand(one) for one in (first, *others)]
            steps = [_comparison(*step) for step in zip(operands[:-1], ops, operands[1:], strict=True)]
            return lambda rows: np.logical_and.reduce([step(rows) for step in steps])
        case ast.Constant(value=bool(value)):
            return lambda rows: np.full(len(rows), value)
    raise UsageError(f"{_source(node)} is no condition; compare a column with something")


def _operand(node: ast.expr) -> _Operand:
    match node:
        case ast.Name(id=name):
            if name not in BY_NAME:
                raise UsageError(f"there is no column {name!r}; there are: {', '.join(BY_NAME)}")
            return BY_NAME[name]
        case ast.Constant(value=None | str() | int() | float() as value) if not isinstance(value, bool):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Set(elts=parts):
            values = tuple(_operand(part) for part in parts)
            if not any(isinstance(value, Column | tuple) for value in values):
                return values
    raise UsageError(f"{_source(node)} is neither a column nor a value")


def _source(node: ast.expr) -> str:
    text = ast.unparse(node)
    return repr(text if len(text) < 60 else text[:60] + "...")


def _comparison(left: _Operand, op: ast.cmpop, right: _Operand) -> Filter:
    kind = type(op)
    compare = _COMPARISONS[kind]
    _check(left, kind, right)
    if isinstance(left, Column) and isinstance(right, Column):
        one, other = left.of, right.of
        return lambda rows: _each(compare, one(rows).plain(), other(rows).plain())
    if isinstance(left, Column):
        return _held_against(left, lambda value: compare(value, right), right, kind)
    if isinstance(right, Column):
        return _held_against(right, lambda value: compare(left, value), left, kind)
    raise UsageError("one side of a comparison is to be a column")


def _check(left: _Operand, kind: type[ast.cmpop], right: _Operand) -> None:
    """Refuse what can never be true, or cannot be asked."""
    if kind in _MEMBER:
        if isinstance(right, Column) and right.kind == "words":
            ours, theirs = {_kind(left)}, {"word"}
        elif isinstance(right, tuple) and not isinstance(right, Column):
            ours, theirs = {_kind(left)}, {_kind(one) for one in right}
        else:
            raise UsageError("after `in` comes a list of values, or the column findings")
    else:
        ours, theirs = {_kind(left)}, {_kind(right)}
        if kind in _ORDER and ours | theirs != {"number"}:
            raise UsageError("only numbers are less or greater")
    if not ours & theirs and "none" not in ours | theirs:
        raise UsageError(f"a {ours.pop()} is compared with a {theirs.pop() if theirs else 'list of nothing'}")


def _kind(operand: _Operand) -> str:
    if isinstance(operand, Column):
        return operand.kind
    if operand is None:
        return "none"
    return "word" if isinstance(operand, str) else "words" if isinstance(operand, tuple) else "number"


def _each(compare: Callable[[Any, Any], Any], left: list[Any], right: list[Any]) -> Array:
    return np.array([_safely(compare, a, b) for a, b in zip(left, right, strict=True)], np.bool_)


def _safely(compare: Callable[[Any, Any], Any], a: Any, b: Any) -> bool:
    try:
        return bool(compare(a, b))
    except TypeError:  # None is neither less nor greater
        return False


def _held_against(
    column: Column, holds: Callable[[Any], Any], value: _Operand, kind: type[ast.cmpop]
) -> Filter:
    """A column against a value: asked once for each different value, or of all numbers at once."""

    def mask(rows: Rows) -> Array:
        values = column.of(rows)
        if isinstance(values, Told):
            each = [_safely(lambda one, _: holds(one), one, None) for one in values.values]
            return np.array(each, np.bool_)[values.places] if each else np.zeros(0, np.bool_)
        return _of_numbers(values, holds, value, kind)

    return mask


def _of_numbers(
    numbers: Numbers, holds: Callable[[Any], Any], value: _Operand, kind: type[ast.cmpop]
) -> Array:
    null = np.zeros(len(numbers.values), np.bool_) if numbers.null is None else numbers.null
    if kind in _MEMBER:
        wanted = [one for one in value if one is not None] if isinstance(value, tuple) else []
        found = np.isin(numbers.values, wanted) & ~null
        if isinstance(value, tuple) and None in value:
            found |= null
        return found if kind is ast.In else ~found
    if value is None:
        return null if kind in (ast.Eq, ast.Is) else ~null
    answer: Array = np.where(null, kind in (ast.NotEq, ast.IsNot), holds(numbers.values))
    return answer.astype(np.bool_)
