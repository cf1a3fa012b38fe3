"""Accepted work as the ledger keeps it: the order, and on whose behalf it is carried out."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from memoir_server.domain.change import Actor, ActorKind
from memoir_server.domain.conversation import Message
from memoir_server.domain.inference.order import Order
from memoir_server.domain.ingestion import Ingestion
from memoir_server.domain.memory import Role
from memoir_server.domain.metadata import decode_metadata, encode_metadata
from memoir_server.domain.reasoning import ImagePart
from memoir_server.service.call import Call


class _Message(msgspec.Struct, array_like=True, frozen=True):
    role: int
    content: str
    actor_id: str
    message_id: str
    create_time: int | None
    images: list[tuple[str, bytes]] = []


class _Work(msgspec.Struct, frozen=True):
    messages: list[_Message]
    metadata: dict[str, Any]
    instruction: str
    principal: str
    actor_kind: int
    request_id: str
    traceparent: str


_decode: Final = msgspec.msgpack.Decoder(_Work).decode


def encode_work(order: Order, call: Call) -> bytes:
    """The order and its caller. Namespace, scope and time stand in the ingestion itself."""
    return msgspec.msgpack.encode(
        _Work(
            messages=[
                _Message(
                    int(m.role),
                    m.content,
                    m.actor_id,
                    m.message_id,
                    m.create_time,
                    [(image.media_type, image.data) for image in m.images],
                )
                for m in order.messages
            ],
            metadata=encode_metadata(order.metadata),
            instruction=order.instruction,
            principal=call.actor.principal,
            actor_kind=int(call.actor.kind),
            request_id=call.request_id,
            traceparent=call.traceparent,
        )
    )


def decode_work(ingestion: Ingestion, deadline: float) -> tuple[Order, Call]:
    """What an ingestion asks for, and the call on whose behalf, until a deadline of its own."""
    work = _decode(ingestion.work)
    order = Order(
        namespace=ingestion.namespace,
        scope=ingestion.scope,
        messages=[
            Message(
                role=Role(m.role),
                content=m.content,
                actor_id=m.actor_id,
                message_id=m.message_id,
                create_time=m.create_time,
                images=tuple(ImagePart(data, media_type) for media_type, data in m.images),
            )
            for m in work.messages
        ],
        metadata=decode_metadata(work.metadata),
        instruction=work.instruction,
        accepted=ingestion.create_time,
    )
    actor = Actor(work.principal, ActorKind(work.actor_kind))
    call = Call(deadline=deadline, actor=actor, request_id=work.request_id, traceparent=work.traceparent)
    return order, call
