"""What all calls of the Python driver share: their results, their options, and the three shapes a method can have."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from google.protobuf.message import Message

from drivers.python import arguments as a
from memoir import AsyncMemoir
from memoir_golden_pb.golden_pb2 import CallOptions

#: What a call gives: a response message, and the SDK's own object for its view.
Answer = tuple[Message, object]
#: Its request is a list of messages for a method that takes a stream of them.
Call = Callable[[AsyncMemoir, Any, CallOptions], AsyncGenerator[Answer]]


def timeout(options: CallOptions) -> dict[str, Any]:
    """The SDK's own timeout, where the corpus wants another than the default."""
    return {"timeout": options.timeout.ToTimedelta().total_seconds()} if options.HasField("timeout") else {}


def write(request: Any, options: CallOptions) -> dict[str, Any]:
    """What all mutations take. An empty request_id is passed on: the corpus decides whether there is one."""
    found: dict[str, Any] = {"request_id": request.request_id, **timeout(options)}
    if hasattr(request, "durability"):
        found["durability"] = a.enum_name(request, "durability")
    return found


async def one(response: Callable[[Any], Message], result: Awaitable[Any]) -> AsyncGenerator[Answer]:
    """A method with one result."""
    value = await result
    yield response(value), value


async def pages(
    listing: Any, options: CallOptions, response: type[Message], items: str, *fields: str
) -> AsyncGenerator[Answer]:
    """A listing: its first page, or with all_pages everything the iterator gives, as one response."""
    if options.all_pages:
        everything = [item async for item in listing]
        yield response(**{items: [item.message for item in everything]}), everything
        return
    async for page in listing.pages():
        found = {name: getattr(page, name) for name in ("next_page_token", *fields)}
        yield response(**{items: [item.message for item in page.items]}, **found), page
        return


def paging(q: Any, options: CallOptions) -> dict[str, Any]:
    """What all listings take."""
    return {"page_size": q.page_size, "page_token": q.page_token, **timeout(options)}
