"""Every way a request can narrow what it is about, computed from the contract: which of them the corpus asks for.

A form is a line of text, such as "and: OPERATOR_LESS int_value". New operators, types, fields and enum values make new
forms, which then are missing.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from golden_runner.contract import METHODS, AnyDescriptor, AnyField
from golden_runner.corpus import NotYet
from golden_runner.paths import is_map, is_populated
from golden_runner.requests import Asked, asked
from memoir.filters import BUILT_IN_FIELDS
from memoir.v1.common_pb2 import Filter, MetadataValue, Scope, TimeRange
from memoir_golden_pb.golden_pb2 import Suite

ALONE: Final = "alone"
COMPARE: Final = "compare"
FORMS: Final = tuple(field.name for field in Filter.DESCRIPTOR.oneofs_by_name["form"].fields)
COMBINATORS: Final = tuple(name for name in FORMS if name != COMPARE)
OPERATORS: Final = tuple(value.name for value in Filter.Operator.DESCRIPTOR.values if value.number)
TYPES: Final = tuple(field.name for field in MetadataValue.DESCRIPTOR.oneofs_by_name["kind"].fields)
# What a request may set of these parts, as far as it narrows.
SHAPES: Final = {
    Filter.DESCRIPTOR.full_name: FORMS,
    TimeRange.DESCRIPTOR.full_name: ("start_time", "end_time", "start_time and end_time"),
    Scope.DESCRIPTOR.full_name: tuple(field.name for field in Scope.DESCRIPTOR.fields),
}


def misjudged_forms(suites: Iterable[Suite], not_yet: NotYet) -> list[str]:
    """Forms that no request to a real server has and that are not listed, and listed ones that a request has."""
    answered: set[str] = set()
    refused: set[str] = set()
    for request in asked(suites):
        (refused if _is_refusal_of_one(request) else answered).update(_of_message(request.message))
    # A comparison that is refused by itself is not tried in every combination.
    settled = {
        f"{place}: {comparison}"
        for comparison in (form.removeprefix(f"{ALONE}: ") for form in refused - answered)
        for place in (ALONE, *COMBINATORS)
    }
    occurring = answered | refused | settled
    found = [f"{form}: occurs in no request" for form in wanted() if form not in occurring | not_yet.forms.keys()]
    return found + [f"{form}: occurs, but not-yet.json lists it" for form in not_yet.forms if form in occurring]


def wanted() -> Iterator[str]:
    """Every form of the contract."""
    for place in (ALONE, *COMBINATORS):
        for operator in OPERATORS:
            yield from (f"{place}: {operator} {kind}" for kind in TYPES)
    for combinator in COMBINATORS:
        yield from (f"{combinator} of {form}" for form in FORMS)
    for name in sorted(BUILT_IN_FIELDS):
        yield from (f"{name} {operator}" for operator in OPERATORS)
    for field in _fields_of_requests():
        if field.message_type is not None:
            yield from (f"{field.full_name}: {shape}" for shape in SHAPES.get(field.message_type.full_name, ()))
        elif field.enum_type is not None:
            yield from (f"{field.full_name}: {value.name}" for value in field.enum_type.values if value.number)


def _is_refusal_of_one(request: Asked) -> bool:
    """Whether a request was refused and has one comparison only, which then is what was refused."""
    if not request.is_refused:
        return False
    return sum(": OPERATOR_" in form for form in _of_message(request.message)) <= 1


def _fields_of_requests() -> list[AnyField]:
    found: dict[str, AnyField] = {}
    left = [method.request for method in METHODS.values()]
    seen: set[str] = set()
    while left:
        descriptor: AnyDescriptor = left.pop()
        # The parts of a filter are forms of their own.
        if descriptor.full_name in seen or descriptor.full_name in SHAPES:
            continue
        seen.add(descriptor.full_name)
        for field in descriptor.fields:
            found[field.full_name] = field
            if field.message_type is not None:
                left.append(field.message_type)
    return [found[name] for name in sorted(found)]


def _of_message(message: Message) -> Iterator[str]:
    for field in message.DESCRIPTOR.fields:
        if not is_populated(message, field):
            continue
        value = getattr(message, field.name)
        values = list(value.values() if is_map(field) else value) if field.is_repeated else [value]
        for item in values:
            if isinstance(item, Message):
                yield from (f"{field.full_name}: {shape}" for shape in _shapes(item))
                yield from _of_filter(item, ALONE) if isinstance(item, Filter) else _of_message(item)
            elif field.type == FieldDescriptor.TYPE_ENUM and field.enum_type is not None:
                known = field.enum_type.values_by_number.get(item)
                yield f"{field.full_name}: {known.name if known else item}"


def _shapes(message: Message) -> list[str]:
    """What is set of a part in `SHAPES`."""
    if message.DESCRIPTOR.full_name not in SHAPES:
        return []
    names = [field.name for field in message.DESCRIPTOR.fields if is_populated(message, field)]
    return [" and ".join(names)] if isinstance(message, TimeRange) else names


def _of_filter(tree: Filter, place: str) -> Iterator[str]:
    form = tree.WhichOneof("form")
    if form is None:
        return
    if place != ALONE:
        yield f"{place} of {form}"
    if form == COMPARE:
        compared = tree.compare
        operator = Filter.Operator.Name(compared.operator)
        yield f"{place}: {operator} {compared.value.WhichOneof('kind')}"
        if compared.field in BUILT_IN_FIELDS:
            yield f"{compared.field} {operator}"
        return
    part = getattr(tree, form)
    for child in [part] if isinstance(part, Filter) else part.filters:
        yield from _of_filter(child, form)
