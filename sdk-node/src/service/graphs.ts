import { create } from "@bufbuild/protobuf";
import * as wire from "../gen/memoir/v1/graph_pb.js";
import { given, refuseUnknown } from "../given.js";
import {
  type Entity,
  entityFromProto,
  type Neighbourhood,
  neighbourhoodFromProto,
  type Relation,
  relationFromProto,
} from "../graph.js";
import { type TimeInput, timestamp } from "../instant.js";
import { invalid } from "../invalid.js";
import { page, type PageOptions, Pages } from "../paging.js";
import { asOf, int64, type MomentInput, type RevisionInput, type ScopeOptions, scopeToProto } from "../scope.js";
import type { CallOptions } from "../transport.js";
import { Searches } from "./searches.js";

/** Options of `getEntity`. */
export interface GetEntityOptions extends CallOptions {
  /** Wait, within the timeout, until this revision is visible. */
  minRevision?: RevisionInput | undefined;
}

/** Options of `entities`; the ids are the scope of the memories that mention them. */
export interface EntitiesOptions extends ScopeOptions, PageOptions, GetEntityOptions {
  /** Exact type, such as "person"; absent means any. */
  type?: string | undefined;
  /** Beginning of the name or of an alias, case-folded. */
  namePrefix?: string | undefined;
}

/** Options of `relations`: give exactly one of `entityId` (at either end) and `memoryId` (taken from). */
export interface RelationsOptions extends PageOptions, GetEntityOptions {
  entityId?: string | undefined;
  memoryId?: string | undefined;
  /** Only relations true at this moment; now when absent. */
  validAt?: TimeInput | undefined;
  /** Also relations that are no longer true. */
  includeSuperseded?: boolean | undefined;
  /** What was known at a past moment: a time, or a revision (number or bigint). */
  asOf?: MomentInput | undefined;
}

/** Options of `traverse`. */
export interface TraverseOptions extends GetEntityOptions {
  /** Hops, 1..3; 1 when absent. */
  depth?: number | undefined;
  /** Relations to follow; absent means all. */
  predicates?: Iterable<string> | undefined;
  /** 100 when absent, at most 1000. */
  maxEntities?: number | undefined;
  /** Only relations true at this moment; now when absent. */
  validAt?: TimeInput | undefined;
}

/** The graph of what memories mention. Needs the feature "graph_read". */
export abstract class Graphs extends Searches {
  /**
   * Read one entity.
   *
   * @throws EntityNotFound, FeatureDisabled
   */
  async getEntity(entityId: string, options: GetEntityOptions = {}): Promise<Entity> {
    const { timeout, signal, minRevision, ...unknown } = options;
    refuseUnknown("getEntity", unknown);
    const request = create(wire.GetEntityRequestSchema, {
      namespace: this.namespace,
      entityId,
      minRevision: int64(minRevision, "minRevision"),
    });
    const response = await this.transport.unary(wire.GraphService.method.getEntity, request, { timeout, signal });
    return entityFromProto(response.entity ?? create(wire.EntitySchema));
  }

  /**
   * List entities by name.
   *
   * @throws FeatureDisabled, TokenInvalid
   */
  entities(options: EntitiesOptions = {}): Pages<Entity, wire.ListEntitiesResponse> {
    const { timeout, signal, pageSize, pageToken, userId, agentId, sessionId, ...rest } = options;
    const { type, namePrefix, minRevision, ...unknown } = rest;
    refuseUnknown("entities", unknown);
    const request = create(
      wire.ListEntitiesRequestSchema,
      given({
        namespace: this.namespace,
        pageSize,
        scope: scopeToProto({ userId, agentId, sessionId }),
        type,
        namePrefix,
        minRevision: int64(minRevision, "minRevision"),
      }),
    );
    const method = wire.GraphService.method.listEntities;
    return new Pages(async (token) => {
      const response = await this.transport.unary(method, { ...request, pageToken: token }, { timeout, signal });
      return page(response.entities.map(entityFromProto), response);
    }, pageToken);
  }

  /**
   * List the relations of an entity or those taken from a memory, oldest first.
   *
   * @throws InvalidArgument, FeatureDisabled, TokenInvalid
   */
  relations(options: RelationsOptions): Pages<Relation, wire.ListRelationsResponse> {
    const { timeout, signal, pageSize, pageToken, entityId, memoryId, validAt, ...rest } = options;
    const { includeSuperseded, asOf: moment, minRevision, ...unknown } = rest;
    refuseUnknown("relations", unknown);
    if (entityId !== undefined && memoryId !== undefined) {
      throw invalid("anchor", "entityId and memoryId were both given; give one");
    }
    const anchor: wire.ListRelationsRequest["anchor"] | undefined =
      entityId !== undefined
        ? { case: "entityId", value: entityId }
        : memoryId !== undefined
          ? { case: "memoryId", value: memoryId }
          : undefined;
    const request = create(
      wire.ListRelationsRequestSchema,
      given({
        namespace: this.namespace,
        pageSize,
        anchor,
        validAt: timestamp(validAt, "validAt"),
        includeSuperseded,
        asOf: asOf(moment),
        minRevision: int64(minRevision, "minRevision"),
      }),
    );
    const method = wire.GraphService.method.listRelations;
    return new Pages(async (token) => {
      const response = await this.transport.unary(method, { ...request, pageToken: token }, { timeout, signal });
      return page(response.relations.map(relationFromProto), response);
    }, pageToken);
  }

  /**
   * Walk the graph breadth-first from some entities.
   *
   * @throws FeatureDisabled
   */
  async traverse(startEntityIds: Iterable<string>, options: TraverseOptions = {}): Promise<Neighbourhood> {
    const { timeout, signal, depth = 1, predicates, maxEntities, validAt, minRevision, ...unknown } = options;
    refuseUnknown("traverse", unknown);
    const request = create(
      wire.TraverseGraphRequestSchema,
      given({
        namespace: this.namespace,
        startEntityIds: [...startEntityIds],
        depth,
        predicates: [...(predicates ?? [])],
        maxEntities,
        validAt: timestamp(validAt, "validAt"),
        minRevision: int64(minRevision, "minRevision"),
      }),
    );
    const method = wire.GraphService.method.traverseGraph;
    return neighbourhoodFromProto(await this.transport.unary(method, request, { timeout, signal }));
  }
}
