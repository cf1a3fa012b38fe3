import { create, fromJson, isMessage, toJson } from "@bufbuild/protobuf";
import { type Duration, DurationSchema, type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";
import { invalid, shown } from "./invalid.js";

/** What callers may write for a moment: a Date, an Instant (exact to the nanosecond), RFC 3339 text, a Timestamp. */
export type TimeInput = Date | Instant | string | Timestamp;

/**
 * A moment in time: a Date (which holds milliseconds) with the exact seconds and nanoseconds it was made from.
 * The Date's own setters do not change `seconds` and `nanos`; make another Instant instead.
 */
export class Instant extends Date {
  /** Whole seconds since 1970-01-01T00:00:00Z. */
  readonly seconds: bigint;
  /** Nanoseconds within the second, 0 to 999,999,999. */
  readonly nanos: number;

  constructor(seconds: bigint, nanos = 0) {
    super(Number(seconds) * 1_000 + Math.floor(nanos / 1e6));
    this.seconds = seconds;
    this.nanos = nanos;
  }

  /**
   * Convert anything that names a moment.
   *
   * @param field name for the error message
   * @throws InvalidArgument an invalid Date, or text that is not RFC 3339
   */
  static from(value: TimeInput, field = "time"): Instant {
    if (value instanceof Instant) return value;
    if (value instanceof Date) {
      const milliseconds = value.getTime();
      if (Number.isNaN(milliseconds)) throw invalid(field, "an invalid Date names no moment");
      const seconds = Math.floor(milliseconds / 1_000);
      return new Instant(BigInt(seconds), (milliseconds - seconds * 1_000) * 1e6);
    }
    if (typeof value === "string") {
      try {
        return Instant.fromProto(fromJson(TimestampSchema, value));
      } catch {
        throw invalid(field, `${shown(value)} is not RFC 3339 text such as 2026-01-31T09:00:00Z`);
      }
    }
    if (isMessage(value, TimestampSchema)) return Instant.fromProto(value);
    throw invalid(field, `${shown(value)} is not a moment; use a Date or RFC 3339 text`);
  }

  /** Convert from the contract's form. */
  static fromProto(value: Timestamp): Instant {
    return new Instant(value.seconds, value.nanos);
  }

  /** Convert to the contract's form. */
  toProto(): Timestamp {
    return create(TimestampSchema, { seconds: this.seconds, nanos: this.nanos });
  }

  /** RFC 3339 text in UTC with 0, 3, 6 or 9 digits of fraction, exact. */
  toRFC3339(): string {
    return toJson(TimestampSchema, this.toProto());
  }

  /** The exact text, so that JSON.stringify loses nothing. */
  override toJSON(): string {
    return this.toRFC3339();
  }
}

/** Convert a moment to the contract's form; `undefined` stays. */
export function timestamp(value: TimeInput | undefined, field: string): Timestamp | undefined {
  return value === undefined ? undefined : Instant.from(value, field).toProto();
}

/** Convert a moment from the contract's form; `undefined` stays. */
export function instant(value: Timestamp | undefined): Instant | undefined {
  return value === undefined ? undefined : Instant.fromProto(value);
}

/** Convert seconds to the contract's form. */
export function duration(seconds: number): Duration {
  const whole = Math.floor(seconds);
  return create(DurationSchema, { seconds: BigInt(whole), nanos: Math.round((seconds - whole) * 1e9) });
}

/** Convert a duration to seconds; absent is 0. */
export function seconds(value: Duration | undefined): number {
  return value === undefined ? 0 : Number(value.seconds) + value.nanos / 1e9;
}
