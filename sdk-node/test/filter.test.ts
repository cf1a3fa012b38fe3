import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toJson } from "@bufbuild/protobuf";
import { and, field, filterToProto, type FilterInput, Instant, InvalidArgument, not, or } from "@memoir/client";
import { FilterSchema } from "@memoir/client/gen/memoir/v1/common_pb.js";

const json = (filter: FilterInput): unknown => toJson(FilterSchema, filterToProto(filter)!);
const compare = (name: string, operator: string, value: unknown): unknown => ({
  compare: { field: name, operator: `OPERATOR_${operator}`, value },
});
const gt1 = compare("metadata.score", "GREATER", { intValue: "1" });
const lt5 = compare("metadata.score", "LESS", { intValue: "5" });

test("shorthand is equality, and other keys are metadata", () => {
  assert.deepEqual(json({ topic: "travel" }), compare("metadata.topic", "EQUAL", { stringValue: "travel" }));
  assert.deepEqual(json({ "metadata.text": "x" }), compare("metadata.text", "EQUAL", { stringValue: "x" }));
  assert.deepEqual(json({ text: "x" }), compare("text", "EQUAL", { stringValue: "x" }));
  assert.deepEqual(json({ tags: ["a", "b"] }), compare("metadata.tags", "EQUAL", { stringList: { values: ["a", "b"] } }));
});

test("AND[{x>1},{x<5}] keeps both, however it is written", () => {
  const both = { and: { filters: [gt1, lt5] } };
  assert.deepEqual(json({ and: [{ score: { gt: 1 } }, { score: { lt: 5 } }] }), both);
  assert.deepEqual(json({ score: { gt: 1, lt: 5 } }), both);
  assert.deepEqual(json(and(field("score").gt(1), field("score").lt(5))), both);
});

test("AND[OR,OR] and NOT nest as written", () => {
  const a = compare("metadata.a", "EQUAL", { boolValue: true });
  const filter = and(or({ a: true }, { score: { gt: 1 } }), or({ a: true }, not({ score: { lt: 5 } })));
  assert.deepEqual(json(filter), {
    and: { filters: [{ or: { filters: [a, gt1] } }, { or: { filters: [a, { not: lt5 }] } }] },
  });
  assert.deepEqual(json({ not: { score: { gt: 1, lt: 5 } } }), { not: { and: { filters: [gt1, lt5] } } });
});

test("several keys of one object all hold", () => {
  assert.deepEqual(json({ a: true, or: [{ score: { gt: 1 } }, { score: { lt: 5 } }] }), {
    and: { filters: [compare("metadata.a", "EQUAL", { boolValue: true }), { or: { filters: [gt1, lt5] } }] },
  });
});

test("every operator", () => {
  const cases: [FilterInput, string, unknown][] = [
    [field("x").eq(1), "EQUAL", { intValue: "1" }],
    [field("x").ne(1.5), "NOT_EQUAL", { doubleValue: 1.5 }],
    [field("x").lt(2n ** 60n), "LESS", { intValue: "1152921504606846976" }],
    [field("x").lte("m"), "LESS_OR_EQUAL", { stringValue: "m" }],
    [field("x").gt(new Date(0)), "GREATER", { timestampValue: "1970-01-01T00:00:00Z" }],
    [field("x").gte(0), "GREATER_OR_EQUAL", { intValue: "0" }],
    [field("x").contains("old"), "CONTAINS", { stringValue: "old" }],
    [field("x").in(["a", "b"]), "IN", { stringList: { values: ["a", "b"] } }],
    [field("x").exists(), "EXISTS", { boolValue: true }],
    [field("x").exists(false), "EXISTS", { boolValue: false }],
  ];
  for (const [filter, operator, value] of cases) assert.deepEqual(json(filter), compare("metadata.x", operator, value));
});

test("kinds and times are read as what the field is", () => {
  assert.deepEqual(json({ kind: { eq: "FACT" } }), compare("kind", "EQUAL", { stringValue: "MEMORY_KIND_FACT" }));
  assert.deepEqual(
    json({ kind: { in: ["fact", "MEMORY_KIND_EVENT", "RUMOUR"] } }),
    compare("kind", "IN", { stringList: { values: ["MEMORY_KIND_FACT", "MEMORY_KIND_EVENT", "RUMOUR"] } }),
  );
  const when = "2026-01-31T09:00:00.000000001Z";
  assert.deepEqual(json({ create_time: { gte: when } }), compare("create_time", "GREATER_OR_EQUAL", { timestampValue: when }));
  assert.deepEqual(json({ due: { gte: Instant.from(when) } }), compare("metadata.due", "GREATER_OR_EQUAL", { timestampValue: when }));
  assert.deepEqual(json({ due: { gte: when } }), compare("metadata.due", "GREATER_OR_EQUAL", { stringValue: when }));
});

test("a metadata key may be called like a combinator", () => {
  assert.deepEqual(json(field("and").eq(1)), compare("metadata.and", "EQUAL", { intValue: "1" }));
});

test("the contract's own message passes", () => {
  const message = create(FilterSchema, { form: { case: "not", value: filterToProto({ a: 1 })! } });
  assert.equal(filterToProto(message), message);
  assert.deepEqual(json({ and: [message] }), { and: { filters: [toJson(FilterSchema, message)] } });
});

test("what says nothing or something else is refused, with its place", () => {
  const cases: [unknown, RegExp][] = [
    [{}, /^filter: an empty object/],
    [[], /^filter: \[\] is not an object/],
    ["score > 1", /^filter: "score > 1" is not an object/],
    [{ and: [] }, /^filter\.and: \[\] is not an array of one or more/],
    [{ and: [{ or: [{ a: { near: 1 } }] }] }, /^filter\.and\[0\]\.or\[0\]\.a: "near" is not an operator; use one of eq, /],
    [{ a: {} }, /^filter\.a: an empty object/],
    [{ a: undefined }, /^filter\.a\.eq: undefined is not a constant/],
    [{ a: { gt: null } }, /^filter\.a\.gt: null is not a constant/],
    [{ a: { in: [1] } }, /^filter\.a\.in: \[1\] is not a string/],
    [{ createTime: { gt: "2026-01-31T09:00:00Z" } }, /^filter\.createTime: write create_time for the built-in field/],
    [{ create_time: "soon" }, /^filter\.create_time\.eq: "soon" is not RFC 3339/],
  ];
  for (const [filter, message] of cases) {
    assert.throws(
      () => filterToProto(filter as FilterInput),
      (error: unknown) => {
        assert.ok(error instanceof InvalidArgument);
        assert.match(error.message, message);
        return true;
      },
    );
  }
});
