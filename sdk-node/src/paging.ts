import { given } from "./given.js";

/** One page of a listing. */
export interface Page<T, M = unknown> {
  /** The results, in the order of the listing. */
  readonly items: readonly T[];
  /** Pass as `pageToken` to go on from here; "" on the last page. */
  readonly nextPageToken: string;
  /** Namespace revision the listing was read at, where the method says so, else 0n. */
  readonly revision: bigint;
  /** Of a history: `watch({resumeToken})` misses nothing after this page. Else "". */
  readonly resumeToken: string;
  /** The response as received. */
  readonly message: M;
}

/** What every listing can be given. */
export interface PageOptions {
  /** Results per page; the server chooses when absent. */
  pageSize?: number | undefined;
  /** Where to go on: the `nextPageToken` of a page. */
  pageToken?: string | undefined;
}

/** A listing. `for await (const item of ...)` fetches page after page. Nothing is fetched before the first step. */
export class Pages<T, M = unknown> implements AsyncIterable<T> {
  readonly #fetch: (pageToken: string) => Promise<Page<T, M>>;
  readonly #pageToken: string;

  constructor(fetch: (pageToken: string) => Promise<Page<T, M>>, pageToken: string | undefined) {
    this.#fetch = fetch;
    this.#pageToken = pageToken ?? "";
  }

  /** Fetch one page: the first, or the one a `nextPageToken` names. */
  page(pageToken: string = this.#pageToken): Promise<Page<T, M>> {
    return this.#fetch(pageToken);
  }

  /** Iterate over the pages themselves. */
  async *pages(): AsyncGenerator<Page<T, M>, void, undefined> {
    let token = this.#pageToken;
    do {
      const page = await this.#fetch(token);
      yield page;
      token = page.nextPageToken;
    } while (token !== "");
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    for await (const page of this.pages()) yield* page.items;
  }
}

/** Make a page; `revision` and `resumeToken` where the response has them. */
export function page<T, M extends { nextPageToken: string; revision?: bigint; resumeToken?: string }>(
  items: readonly T[],
  message: M,
): Page<T, M> {
  const { nextPageToken, revision, resumeToken } = message;
  return { revision: 0n, resumeToken: "", ...given({ revision, resumeToken }), items, nextPageToken, message };
}
