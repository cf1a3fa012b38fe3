"""Entities and relations, and their identity."""

from __future__ import annotations

import re
import unicodedata
import uuid
from dataclasses import dataclass

from memoir_server.domain.memory import EntityMention, Memory, Scope
from memoir_server.domain.time import Instant

_ENTITY_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://memoir.dev/entity")
_RELATION_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://memoir.dev/relation")
_SPACE = re.compile(r"\s+")

SORT_CHARACTERS = 256
"""Length of `sort_name`: that of the longest name the contract takes."""


def normalise_name(name: str) -> str:
    """NFKC, case folding, white space folded to single spaces: names equal after this are one entity."""
    return _SPACE.sub(" ", unicodedata.normalize("NFKC", name).casefold()).strip()


def normalise_prefix(prefix: str) -> str:
    """The beginning of a normalised name: like `normalise_name`, but a space at the end still separates words."""
    return _SPACE.sub(" ", unicodedata.normalize("NFKC", prefix).casefold()).lstrip()


def sort_name(name: str) -> str:
    """What entities are listed by, code point by code point: the first characters of the normalised name. Bounded,
    because normalising can make a name many times longer, and a page token carries it."""
    return normalise_name(name)[:SORT_CHARACTERS]


def entity_id(namespace: str, owner: Scope, type_: str, name: str) -> str:
    """uuid5(namespace, owner scope, type, normalised name) (semantics 6). `owner` is the scope without session."""
    parts = (namespace, owner.user_id or "", owner.agent_id or "", type_, normalise_name(name))
    return str(uuid.uuid5(_ENTITY_NAMESPACE, "\n".join(f"{len(p)}:{p}" for p in parts)))


def relation_id(namespace: str, subject_id: str, predicate: str, object_id: str, valid_from: Instant | None) -> str:
    """One per subject, predicate, object and begin of validity: telling it twice adds a source, not an edge."""
    parts = (namespace, subject_id, predicate, object_id, str(valid_from))
    return str(uuid.uuid5(_RELATION_NAMESPACE, "\n".join(parts)))


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityRef:
    """One end of a relation."""

    entity_id: str
    name: str
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """A person, place or thing that memories of one owner mention."""

    entity_id: str
    name: str
    type: str
    aliases: tuple[str, ...] = ()
    mention_count: int = 0
    owner: Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """A directed, dated edge between two entities, with the memories it was taken from."""

    relation_id: str
    subject: EntityRef
    predicate: str
    object: EntityRef
    confidence: float = 1.0
    valid_from: Instant | None = None
    valid_until: Instant | None = None
    memory_ids: tuple[str, ...] = ()
    source_removed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryFacts:
    """What one version of a memory contributes to the graph."""

    memory_id: str
    revision: int
    scope: Scope
    entities: tuple[Entity, ...]
    relations: tuple[Relation, ...]

    @property
    def empty(self) -> bool:
        """True when the version mentions nothing."""
        return not self.entities and not self.relations


def facts_of(memory: Memory) -> MemoryFacts:
    """Entities and relations of a version, with their ids. A relation's ends that are no entity of the memory become
    entities of type "thing"; its missing validity bounds are the memory's."""
    owner = memory.scope.owner
    mentions: dict[str, EntityMention] = {}
    for mention in memory.entities:
        mentions.setdefault(normalise_name(mention.name), mention)
    for statement in memory.relations:
        for name in (statement.subject, statement.object):
            mentions.setdefault(normalise_name(name), EntityMention(name=name))
    refs = {
        key: EntityRef(
            entity_id=entity_id(memory.namespace, owner, mention.type, mention.name),
            name=mention.name,
            type=mention.type,
        )
        for key, mention in mentions.items()
    }
    relations = {}
    for statement in memory.relations:
        subject, object_ = refs[normalise_name(statement.subject)], refs[normalise_name(statement.object)]
        valid_from = memory.valid_from if statement.valid_from is None else statement.valid_from
        valid_until = memory.valid_until if statement.valid_until is None else statement.valid_until
        identity = relation_id(memory.namespace, subject.entity_id, statement.predicate, object_.entity_id, valid_from)
        relations[identity] = Relation(
            relation_id=identity,
            subject=subject,
            predicate=statement.predicate,
            object=object_,
            confidence=statement.confidence,
            valid_from=valid_from,
            valid_until=valid_until,
            memory_ids=(memory.memory_id,),
        )
    return MemoryFacts(
        memory_id=memory.memory_id,
        revision=memory.revision,
        scope=memory.scope,
        entities=tuple(
            Entity(entity_id=refs[key].entity_id, name=m.name, type=m.type, aliases=m.aliases, owner=owner)
            for key, m in mentions.items()
        ),
        relations=tuple(relations.values()),
    )
