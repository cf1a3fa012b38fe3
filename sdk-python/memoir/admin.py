"""What operators read: server info, findings of the doctor, repairs."""

from dataclasses import dataclass, field
from datetime import timedelta

from memoir.enums import BREAKER_STATE, FINDING_KIND, STORE_KIND, BreakerState, FindingKind, StoreKind
from memoir.v1 import admin_pb2
from memoir.values import timedelta_from_proto


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """State of one store; `lag` is the number of revisions of the namespace it has not applied yet."""

    store: StoreKind
    reachable: bool
    version: str
    latency: timedelta
    applied_revision: int
    lag: int
    breaker: BreakerState
    degraded: int


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """Version, contract, features, limits and stores of a server."""

    server_version: str
    contract_digest: str
    features: tuple[str, ...]
    limits: dict[str, int]
    stores: tuple[StoreStatus, ...]
    revision: int
    profile: str
    embedding_model: str
    ranking_version: str
    message: admin_pb2.GetServerInfoResponse = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Finding:
    """One disagreement between a store and the ledger; its id is the input of `repair`."""

    id: str
    kind: FindingKind
    store: StoreKind
    memory_id: str
    resource: str
    text: str
    message: admin_pb2.Finding = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class ConsistencyReport:
    """Result of a check at one revision; without findings, the stores agree with the ledger."""

    findings: tuple[Finding, ...]
    examined: int
    revision: int


@dataclass(frozen=True, slots=True)
class RepairResult:
    """Ids of the findings that were (or could be) repaired, and of those no longer true."""

    repaired: tuple[str, ...]
    resolved: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RebuildProgress:
    """How far a rebuild has got, in versions."""

    applied: int
    total: int


def server_info_from_proto(message: admin_pb2.GetServerInfoResponse) -> ServerInfo:
    """Convert the response of GetServerInfo."""
    return ServerInfo(
        message.server_version,
        message.contract_digest,
        tuple(message.features),
        dict(message.limits),
        tuple(
            [
                StoreStatus(
                    STORE_KIND.decode(item.store),
                    item.reachable,
                    item.version,
                    timedelta_from_proto(item.latency),
                    item.applied_revision,
                    item.lag,
                    BREAKER_STATE.decode(item.breaker),
                    item.degraded,
                )
                for item in message.stores
            ]
        ),
        message.revision,
        message.profile,
        message.embedding_model,
        message.ranking_version,
        message,
    )


def finding_from_proto(message: admin_pb2.Finding) -> Finding:
    """Convert a finding."""
    return Finding(
        message.finding_id,
        FINDING_KIND.decode(message.kind),
        STORE_KIND.decode(message.store),
        message.memory_id,
        message.resource,
        message.message,
        message,
    )
