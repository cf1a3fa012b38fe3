"""Writes the reference of the contract, docs/contract.md, from a descriptor set with comments and imports.

    .venv/bin/python scripts/contract_page.py IMAGE PAGE

`make generate` calls it. The same image gives the same bytes.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    MethodOptions,
)

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scripts.contract_rules import Rules

ROOT: Final = Path(__file__).resolve().parent.parent
RETRY_POLICY: Final = ROOT / "proto" / "retry-policy.json"
PACKAGE: Final = "memoir.v1"
ERROR_REASON: Final = "ErrorReason"

INTRODUCTION: Final = """# The contract `memoir.v1`

Generated from [proto/memoir/v1](../proto/memoir/v1) and [retry-policy.json](../proto/retry-policy.json)
by `make generate`; do not edit. How the contract changes is told in [versioning.md](versioning.md).

A request that breaks a rule is refused with INVALID_ARGUMENT / `FIELD_INVALID`, which names every field
concerned. Where a field may be empty, its other rules bind only when it is set. A field marked optional
tells "not set" from its zero value.
"""

_RETRIES: Final = {"always": "yes", "with_request_id": "with a `request_id`", "never": "no"}
_Field = FieldDescriptorProto
_REASON: Final = re.compile(r"(?P<code>[A-Z_]+)(?:; keys?: (?P<keys>[^.]*))?\.\s*(?P<rest>.*)", re.DOTALL)
# Field numbers of descriptor.proto: the steps of a path to a comment.
_SERVICES, _METHODS, _MESSAGES, _FIELDS, _NESTED, _INNER_ENUMS, _ENUMS, _VALUES = 6, 2, 4, 2, 3, 4, 5, 2


@dataclass(frozen=True, slots=True)
class Message:
    """A message by its name below the package, such as "Finding" or "Filter.FilterList"."""

    name: str
    proto: DescriptorProto
    path: tuple[int, ...]
    file: FileDescriptorProto


@dataclass(frozen=True, slots=True)
class Enum:
    """An enum by its name below the package."""

    name: str
    proto: EnumDescriptorProto
    path: tuple[int, ...]
    file: FileDescriptorProto


class Page:
    """The page of one image."""

    def __init__(self, image: FileDescriptorSet) -> None:
        self._files = sorted((f for f in image.file if f.package == PACKAGE), key=lambda f: f.name)
        self._rules = Rules(image)
        self._comments = {
            (file.name, tuple(place.path)): place.leading_comments
            for file in self._files
            for place in file.source_code_info.location
        }
        self._messages = {message.name: message for file in self._files for message in _messages(file)}
        self._enums = {enum.name: enum for file in self._files for enum in _enums(file)}
        policy: dict[str, Any] = json.loads(RETRY_POLICY.read_text(encoding="utf-8"))
        self._retries: dict[str, str] = policy["methods"]

    def render(self) -> str:
        """The whole page."""
        parts = [INTRODUCTION, self._overview()]
        of_methods: set[str] = set()
        for file in self._files:
            for number, service in enumerate(file.service):
                parts.append(f"## {service.name}\n\n{self._comment(file, _SERVICES, number)}\n")
                for position, method in enumerate(service.method):
                    names = [_local(method.input_type), _local(method.output_type)]
                    parts.append(self._method(file, (_SERVICES, number, _METHODS, position), service.name, method))
                    parts.extend(self._message(self._messages[name]) for name in names if name not in of_methods)
                    of_methods.update(names)
        shown = {name: m for name, m in sorted(self._messages.items()) if not m.proto.options.map_entry}
        inner = {name for name in shown if name.partition(".")[0] in of_methods}
        parts.append("## Messages\n")
        parts.extend(self._message(message) for name, message in shown.items() if name not in inner)
        parts.append("## Parts of requests and responses\n")
        parts.extend(self._message(self._messages[name]) for name in sorted(inner - of_methods))
        parts.append("## Enums\n")
        parts.extend(self._enum(enum) for name, enum in sorted(self._enums.items()) if name != ERROR_REASON)
        parts.append(self._reasons())
        return "\n".join(parts)

    def _comment(self, file: FileDescriptorProto, *path: int) -> str:
        """A comment as Markdown paragraphs; the lines of each are joined."""
        text = self._comments.get((file.name, path), "")
        paragraphs = "\n".join(line.strip() for line in text.splitlines()).strip().split("\n\n")
        return "\n\n".join(" ".join(paragraph.split("\n")) for paragraph in paragraphs)

    def _overview(self) -> str:
        rows = [
            (
                f"[{service.name.removesuffix('Service')}.{method.name}](#{_anchor(method.name)})",
                _kind(method),
                _idempotency(method),
                _RETRIES[self._retries[f"{PACKAGE}.{service.name}/{method.name}"]],
            )
            for file in self._files
            for service in file.service
            for method in service.method
        ]
        return "## Methods\n\n" + _table(("method", "form", "idempotency", "SDKs retry"), rows)

    def _method(self, file: FileDescriptorProto, path: tuple[int, ...], service: str, method: Any) -> str:
        facts = f"`/{PACKAGE}.{service}/{method.name}`, {_kind(method)}, {_idempotency(method)}."
        if method.options.deprecated:
            facts += " Deprecated."
        return f"### {method.name}\n\n{facts}\n\n{self._comment(file, *path)}\n"

    def _message(self, message: Message) -> str:
        head = f"#### {message.name}\n\n{self._comment(message.file, *message.path)}\n"
        rules = self._rules.of_message(message.proto.options)
        if rules:
            head += f"\nRule: {' '.join(rules)}\n"
        if not message.proto.field:
            return f"{head}\nNo fields.\n"
        rows = [
            (
                f"`{field.name}`",
                self._type(field),
                "; ".join(self._field_rules(message, field)),
                self._comment(message.file, *message.path, _FIELDS, number),
            )
            for number, field in enumerate(message.proto.field)
        ]
        return f"{head}\n{_table(('field', 'type', 'rules', 'meaning'), rows)}"

    def _field_rules(self, message: Message, field: FieldDescriptorProto) -> Iterator[str]:
        if field.options.deprecated:
            yield "deprecated"
        if field.HasField("oneof_index") and not field.proto3_optional:
            oneof = message.proto.oneof_decl[field.oneof_index]
            count = "exactly" if self._rules.oneof_required(oneof.options) else "at most"
            yield f"{count} one of `{oneof.name}`"
        yield from self._rules.of_field(field.options, self._values(field))

    def _values(self, field: FieldDescriptorProto) -> dict[int, str]:
        enum = self._enums.get(_local(field.type_name)) if field.type == _Field.TYPE_ENUM else None
        return {} if enum is None else {value.number: value.name for value in enum.proto.value}

    def _type(self, field: FieldDescriptorProto) -> str:
        entry = self._messages.get(_local(field.type_name))
        if entry is not None and entry.proto.options.map_entry:
            key, value = entry.proto.field
            return f"map from {self._plain_type(key)} to {self._plain_type(value)}"
        plain = self._plain_type(field)
        if field.label == _Field.LABEL_REPEATED:
            return f"list of {plain}"
        return f"optional {plain}" if field.proto3_optional else plain

    def _plain_type(self, field: FieldDescriptorProto) -> str:
        if not field.type_name:
            return _Field.Type.Name(field.type).removeprefix("TYPE_").lower()
        name = _local(field.type_name)
        known = name in self._messages or name in self._enums
        return f"[{name}](#{_anchor(name)})" if known else name.removeprefix("google.protobuf.")

    def _enum(self, enum: Enum) -> str:
        rows = [
            (f"`{value.name}`", str(value.number), self._comment(enum.file, *enum.path, _VALUES, number))
            for number, value in enumerate(enum.proto.value)
        ]
        comment = self._comment(enum.file, *enum.path)
        return f"#### {enum.name}\n\n{comment}\n\n{_table(('value', 'number', 'meaning'), rows)}"

    def _reasons(self) -> str:
        enum = self._enums[ERROR_REASON]
        rows = []
        for number, value in enumerate(enum.proto.value):
            if value.number == 0:
                continue
            found = _REASON.fullmatch(self._comment(enum.file, *enum.path, _VALUES, number))
            if found is None:
                raise ValueError(f"{value.name}: its comment must begin with `CODE; keys: a, b.` or `CODE.`")
            reason = f"`{value.name.removeprefix('ERROR_REASON_')}`"
            rows.append((reason, found["code"], found["keys"] or "", found["rest"]))
        comment = self._comment(enum.file, *enum.path)
        return f"## Error reasons\n\n{comment}\n\n{_table(('reason', 'code', 'metadata keys', 'meaning'), rows)}"


def _messages(file: FileDescriptorProto) -> Iterator[Message]:
    def below(parent: str, proto: DescriptorProto, path: tuple[int, ...]) -> Iterator[Message]:
        name = f"{parent}{proto.name}"
        yield Message(name, proto, path, file)
        for number, nested in enumerate(proto.nested_type):
            yield from below(f"{name}.", nested, (*path, _NESTED, number))

    for number, proto in enumerate(file.message_type):
        yield from below("", proto, (_MESSAGES, number))


def _enums(file: FileDescriptorProto) -> Iterator[Enum]:
    for number, proto in enumerate(file.enum_type):
        yield Enum(proto.name, proto, (_ENUMS, number), file)
    for message in _messages(file):
        for number, proto in enumerate(message.proto.enum_type):
            yield Enum(f"{message.name}.{proto.name}", proto, (*message.path, _INNER_ENUMS, number), file)


def _local(full_name: str) -> str:
    return full_name.removeprefix(f".{PACKAGE}.").removeprefix(".")


def _anchor(heading: str) -> str:
    return heading.lower().replace(".", "")


def _kind(method: MethodDescriptorProto) -> str:
    if method.client_streaming:
        return "streams both ways" if method.server_streaming else "client stream"
    return "server stream" if method.server_streaming else "unary"


def _idempotency(method: MethodDescriptorProto) -> str:
    return MethodOptions.IdempotencyLevel.Name(method.options.idempotency_level).lower().replace("_", " ")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = ([cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows)
    lines = [head, ["---"] * len(head), *cells]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main(arguments: Sequence[str]) -> int:
    """Reads the image, writes the page. Returns the exit status."""
    if len(arguments) != 2:
        print("usage: contract_page.py IMAGE PAGE", file=sys.stderr)
        return 2
    image, page = map(Path, arguments)
    page.write_text(Page(FileDescriptorSet.FromString(image.read_bytes())).render(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
