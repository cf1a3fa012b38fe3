"""The contract as data: its methods, message types and error reasons, from the descriptors the SDK ships."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from memoir.v1 import (
    admin_pb2,
    common_pb2,
    error_reason_pb2,
    graph_pb2,
    history_pb2,
    memory_pb2,
    reset_pb2,
    search_pb2,
    transfer_pb2,
)

if TYPE_CHECKING:
    from google._upb import _message as upb

# The C implementation has descriptor classes of its own.
AnyDescriptor: TypeAlias = "Descriptor | upb.Descriptor"
AnyField: TypeAlias = "FieldDescriptor | upb.FieldDescriptor"

FILES: Final[tuple[FileDescriptor, ...]] = tuple(
    module.DESCRIPTOR
    for module in (
        admin_pb2,
        common_pb2,
        error_reason_pb2,
        graph_pb2,
        history_pb2,
        memory_pb2,
        reset_pb2,
        search_pb2,
        transfer_pb2,
    )
)
# Details and statuses travel as google.protobuf.Any: importing their modules registers the types.
RPC_FILES: Final[tuple[FileDescriptor, ...]] = (error_details_pb2.DESCRIPTOR, status_pb2.DESCRIPTOR)

REASON_PREFIX: Final = "ERROR_REASON_"
ERROR_DOMAIN: Final = "memoir.dev"


@dataclass(frozen=True, slots=True)
class Method:
    """One RPC of the contract."""

    name: str
    request: AnyDescriptor
    response: AnyDescriptor
    client_streaming: bool
    server_streaming: bool

    @property
    def path(self) -> str:
        """The gRPC path: "/memoir.v1.MemoryService/GetMemory"."""
        return f"/{self.name}"


def _method(method: MethodDescriptor) -> Method:
    service = method.containing_service.full_name
    return Method(
        f"{service}/{method.name}",
        method.input_type,
        method.output_type,
        method.client_streaming,
        method.server_streaming,
    )


METHODS: Final[dict[str, Method]] = {
    found.name: found
    for file in FILES
    for service in file.services_by_name.values()
    for found in map(_method, service.methods)
}

ERROR_REASONS: Final[tuple[str, ...]] = tuple(
    value.name.removeprefix(REASON_PREFIX)
    for value in error_reason_pb2.DESCRIPTOR.enum_types_by_name["ErrorReason"].values
    if value.number
)


def new_message(type_name: str) -> Message:
    """Make an empty message of a known type. Raises `KeyError` naming the type when no imported file declares it."""
    return message_class(type_name)()


def message_class(type_name: str) -> type[Message]:
    """Return the generated class of a full type name. Raises `KeyError` for an unknown one."""
    return message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(type_name))


def contract_messages() -> Iterator[AnyDescriptor]:
    """Yield every message type of the contract, nested ones included, map entries left out, in order of declaration."""
    for file in FILES:
        for top in file.message_types_by_name.values():
            yield from _with_nested(top)


def _with_nested(descriptor: AnyDescriptor) -> Iterator[AnyDescriptor]:
    if descriptor.GetOptions().map_entry:
        return
    yield descriptor
    for nested in descriptor.nested_types:
        yield from _with_nested(nested)
