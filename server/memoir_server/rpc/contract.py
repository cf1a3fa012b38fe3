"""The contract as the server reads it: every method, with request classes that still know their validation rules.

The generated package `memoir.v1` has the validation options stripped, so that the SDK does not need them. The server
therefore parses requests with classes of a private descriptor pool, built from the full image `contract.binpb`, and
validates them in place. Responses use the generated classes. The two are the same on the wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

PACKAGE = "memoir.v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One RPC. `path` is its name on the wire; `request_class` carries the validation rules."""

    service: str
    name: str
    path: str
    request_class: type[Message]
    client_streams: bool
    server_streams: bool


class Contract:
    """All methods by service, from a serialised FileDescriptorSet."""

    def __init__(self, image: bytes) -> None:
        self._pool = DescriptorPool()
        descriptors = FileDescriptorSet.FromString(image)
        for file in descriptors.file:
            self._pool.AddSerializedFile(file.SerializeToString())
        self.methods: Mapping[str, Mapping[str, Method]] = {
            f"{PACKAGE}.{service.name}": {
                method.name: Method(
                    service=f"{PACKAGE}.{service.name}",
                    name=method.name,
                    path=f"/{PACKAGE}.{service.name}/{method.name}",
                    request_class=self.message(method.input_type.removeprefix(".")),
                    client_streams=method.client_streaming,
                    server_streams=method.server_streaming,
                )
                for method in service.method
            }
            for file in descriptors.file
            if file.package == PACKAGE
            for service in file.service
        }

    def message(self, full_name: str) -> type[Message]:
        """The class of a message that knows its validation rules. Raises KeyError for a name not in the image."""
        return GetMessageClass(self._pool.FindMessageTypeByName(full_name))


def load_contract() -> Contract:
    """The committed contract."""
    return Contract(files("memoir_server.rpc").joinpath("contract.binpb").read_bytes())
