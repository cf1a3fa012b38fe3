"""Size-delimited protobuf messages on a byte stream: a varint length, then that many bytes."""

from typing import BinaryIO, TypeVar

from google.protobuf.message import Message

M = TypeVar("M", bound=Message)

MAX_FRAME_BYTES = 64 * 1024 * 1024


def write_frame(stream: BinaryIO, message: Message) -> None:
    """Write one message and flush."""
    body = message.SerializeToString()
    stream.write(_varint(len(body)) + body)
    stream.flush()


def read_frame(stream: BinaryIO, message_type: type[M]) -> M | None:
    """Read one message; None at a clean end of the stream.

    Raises `EOFError` when the stream ends inside a message and `ValueError` for a length above 64 MiB, which means that
    something other than frames was written to the stream.
    """
    size = _read_varint(stream)
    if size is None:
        return None
    if size > MAX_FRAME_BYTES:
        raise ValueError(f"frame of {size} bytes: the peer wrote something that is not a frame")
    body = bytearray()
    while len(body) < size:
        chunk = stream.read(size - len(body))
        if not chunk:
            raise EOFError(f"stream ended after {len(body)} of {size} bytes")
        body += chunk
    return message_type.FromString(bytes(body))


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(stream: BinaryIO) -> int | None:
    value = shift = 0
    while True:
        byte = stream.read(1)
        if not byte:
            if shift:
                raise EOFError("stream ended inside a length")
            return None
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
        shift += 7
        if shift > 63:
            raise ValueError("length is not a varint: the peer wrote something that is not a frame")
