import { invalid } from "./invalid.js";

/** The same fields, each absent rather than `undefined`. */
export type Given<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** Drop the fields that are `undefined`, so that "not given" and "given as undefined" mean the same. */
export function given<T extends object>(fields: T): Given<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Given<T>;
}

/**
 * Refuse options a method does not know. A misspelt `userId` must not widen a search or a reset to everybody.
 *
 * @param place what the options belong to, for the message: "search", "messages[3]"
 * @param unknown what is left of the options after the known ones were taken
 * @throws InvalidArgument
 */
export function refuseUnknown(place: string, unknown: object): void {
  const [name] = Object.keys(unknown);
  if (name === undefined) return;
  const camel = name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
  throw invalid(name, `${place} has no such option${camel === name ? "" : `; did you mean ${camel}?`}`);
}
