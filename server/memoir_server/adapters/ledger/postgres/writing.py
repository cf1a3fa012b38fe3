"""The rows that follow from changes. Each kind of row goes in one statement, whatever their number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from memoir_server.adapters.ledger.forms.changing import Entropy, content_of, event_rows, gone_time
from memoir_server.adapters.ledger.forms.encoding import encode_facts
from memoir_server.adapters.ledger.forms.layout import LIST_ITEM, REMOVED, key_of
from memoir_server.adapters.ledger.postgres.accesses import forgetting_accesses
from memoir_server.adapters.ledger.postgres.adaptation import Bytes, Int8s, Texts
from memoir_server.adapters.ledger.postgres.filters import metadata_rows, number_text
from memoir_server.adapters.ledger.postgres.transaction import NamespaceRow, Statement
from memoir_server.domain.change import Change, EventType
from memoir_server.domain.duplicate import said_code
from memoir_server.domain.graph import facts_of
from memoir_server.domain.memory import NEVER, Memory

_EVENTS: Final = (
    "INSERT INTO events (key, commit_time, type, memory_id, born, before, detail, salt, digest) "
    "SELECT * FROM unnest(%s, %s, %s, %s, %s, %s, %s, %s, %s)"
)
_VERSIONS: Final = (
    "INSERT INTO versions (ns, retired, key, memory_id, born, gone, user_id, agent_id, session_id, kind, turn, "
    "create_time, update_time, valid_from, valid_until, expire_time, importance, actor_id, message_id, content, "
    f"has_facts, said, text, body) SELECT %s, {NEVER}, w.key, w.memory_id, w.born, w.gone, w.user_id, w.agent_id, "
    "w.session_id, w.kind, w.turn, w.create_time, w.update_time, w.valid_from, w.valid_until, w.expire_time, "
    "w.importance::numeric, w.actor_id, w.message_id, w.content, w.has_facts <> 0, w.said, w.text, w.body "
    f"FROM unnest({', '.join(['%s'] * 22)}) AS w (key, memory_id, born, gone, user_id, agent_id, session_id, kind, "
    "turn, create_time, update_time, valid_from, valid_until, expire_time, importance, actor_id, message_id, content, "
    "has_facts, said, text, body)"
)
_VERSION_ARRAYS: Final = (
    *(Int8s, Texts, Int8s, Int8s, Texts, Texts, Texts, Int8s, Int8s, Int8s, Int8s, Int8s, Int8s, Int8s, Texts),
    *(Texts, Texts, Int8s, Int8s, Int8s, Texts, Bytes),
)
_METADATA: Final = (
    "INSERT INTO metadata (key, name, family, string, number, whole, list) "
    "SELECT w.key, w.name, w.family, w.string, w.number::numeric, w.whole, w.list "
    "FROM unnest(%s, %s, %s, %s, %s, %s, %s) AS w (key, name, family, string, number, whole, list)"
)
_TYPES: Final = "INSERT INTO metadata_types (ns, name, family) SELECT %s, * FROM unnest(%s, %s) ON CONFLICT DO NOTHING"
_RETIRE: Final = "UPDATE versions SET retired = w.at FROM unnest(%s, %s) AS w (key, at) WHERE versions.key = w.key"
_GO: Final = (
    # The current version of each life is retired, and all its versions go.
    "UPDATE versions SET gone = w.gone, retired = CASE WHEN versions.key = w.key THEN w.at ELSE versions.retired END "
    "FROM unnest(%s, %s, %s, %s, %s) AS w (key, at, memory_id, born, gone) "
    "WHERE versions.ns = %s AND versions.memory_id = w.memory_id AND versions.born = w.born"
)
_KEEP: Final = (
    "INSERT INTO kept_facts (key, memory_id, born, facts) SELECT * FROM unnest(%s, %s, %s, %s) "
    "ON CONFLICT (key) DO UPDATE SET memory_id = excluded.memory_id, born = excluded.born, facts = excluded.facts"
)


def writing_events(
    row: NamespaceRow,
    changes: Sequence[Change],
    births: Sequence[int],
    bodies: Sequence[bytes | None],
    entropy: Entropy,
) -> tuple[Statement, bytes]:
    """Puts the changes into the log. With it, the chain up to the last of them."""
    rows, chain = event_rows(row.ns, row.chain, changes, births, bodies, entropy)
    keys, times, types, ids, borns, befores, details_, salts_, digests = zip(*rows, strict=True)
    bound = (
        *(Int8s(keys), Int8s(times), Int8s(types), Texts(ids), Int8s(borns), Int8s(befores)),
        *(Bytes(details_), Bytes(salts_), Bytes(digests)),
    )
    return (_EVENTS, bound), chain


def writing_versions(
    ns: int,
    changes: Sequence[Change],
    births: Sequence[int],
    bodies: Sequence[bytes | None],
) -> list[Statement]:
    """Puts the versions that the changes made, with their metadata."""
    rows: list[tuple[Any, ...]] = []
    metadata: list[tuple[Any, ...]] = []
    for change, born, body in zip(changes, births, bodies, strict=True):
        memory = change.after
        if memory is None:
            continue
        key = key_of(ns, change.revision)
        rows.append((key, memory.memory_id, born, *columns_of(memory), memory.text, body))
        if memory.metadata:
            metadata.extend((key, *row) for row in metadata_rows(memory.metadata))
    statements: list[Statement] = []
    if rows:
        columns = zip(*rows, strict=True)
        statements.append((_VERSIONS, (ns, *(kind(c) for kind, c in zip(_VERSION_ARRAYS, columns, strict=True)))))
    if metadata:
        statements.append(writing_metadata(metadata))
        types = sorted({(name, family) for _, name, family, *_ in metadata if family != LIST_ITEM})
        bound = (ns, Texts([name for name, _ in types]), Int8s([family for _, family in types]))
        statements.append((_TYPES, bound))
    return statements


def writing_metadata(rows: Sequence[tuple[Any, ...]]) -> Statement:
    """Rows of the table `metadata`: the key, and what `metadata_rows` gives. At least one."""
    keys, names, families, strings, numbers, wholes, lists = zip(*rows, strict=True)
    return _METADATA, (
        *(Int8s(keys), Texts(names), Int8s(families), Texts(strings), Texts(numbers), Int8s(wholes)),
        Bytes(lists),
    )


def columns_of(memory: Memory) -> tuple[Any, ...]:
    """The columns of a version from `gone` to `said`, as it is while it is its memory's current one."""
    scope = memory.scope
    first = memory.provenance[0] if memory.provenance else None
    return (
        gone_time(memory),
        scope.user_id,
        scope.agent_id,
        scope.session_id,
        int(memory.kind),
        memory.turn,
        memory.create_time,
        memory.update_time,
        memory.valid_from,
        memory.valid_until,
        memory.expire_time,
        None if memory.importance is None else number_text(memory.importance),
        (first.actor_id or None) if first else None,
        (first.message_id or None) if first else None,
        content_of(memory.content_hash),
        int(bool(memory.entities or memory.relations)),
        said_code(memory),
    )


def ending_versions(
    ns: int, changes: Sequence[Change], births: Sequence[int], gone_before: Mapping[str, int]
) -> list[Statement]:
    """Retires what was replaced, hides what was removed, and keeps the facts that are to stay. `gone_before` is the
    column `gone` of the memories that exist. Not for versions that are written in the same statement."""
    retired: list[tuple[int, int]] = []
    gone: list[tuple[int, int, str, int, int]] = []
    kept: list[tuple[int, str, int, bytes]] = []
    for change, born in zip(changes, births, strict=True):
        before = change.before
        if before is None or change.type in (EventType.FAILED, EventType.RESET):
            continue
        ended = (key_of(ns, before.revision), change.revision)
        if change.type.removes:
            gone.append((*ended, change.memory_id, born, REMOVED))
            if change.keep_facts:
                facts = facts_of(before)
                if not facts.empty:
                    kept.append((ended[0], change.memory_id, born, encode_facts(facts)))
        elif change.after is not None and gone_time(change.after) != gone_before[change.memory_id]:
            gone.append((*ended, change.memory_id, born, gone_time(change.after)))
        else:
            retired.append(ended)
    statements: list[Statement] = []
    if retired:
        statements.append((_RETIRE, (Int8s([key for key, _ in retired]), Int8s([at for _, at in retired]))))
    if gone:
        keys, ats, ids, borns, instants = zip(*gone, strict=True)
        statements.append((_GO, (Int8s(keys), Int8s(ats), Texts(ids), Int8s(borns), Int8s(instants), ns)))
        removed = [memory_id for _, _, memory_id, _, instant in gone if instant == REMOVED]
        if removed:
            statements.append(forgetting_accesses(ns, removed))
    if kept:
        keys, ids, borns, facts_ = zip(*kept, strict=True)
        statements.append((_KEEP, (Int8s(keys), Texts(ids), Int8s(borns), Bytes(facts_))))
    return statements
