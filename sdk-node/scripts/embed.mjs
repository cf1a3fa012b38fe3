// Writes src/embedded.ts: the package's version, the SHA-256 of the contract and the retry policy all SDKs share, so
// that the published package needs no file of the repository. `--check` writes nothing and fails when it is not current.
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));
const target = path("../src/embedded.ts");

const { version } = JSON.parse(readFileSync(path("../package.json"), "utf8"));
const digest = createHash("sha256").update(readFileSync(path("../../server/memoir_server/rpc/contract.binpb"))).digest("hex");
const { policy, methods } = JSON.parse(readFileSync(path("../../proto/retry-policy.json"), "utf8"));

const literal = (value) => JSON.stringify(value, undefined, 2);
const text = `// Written by scripts/embed.mjs from package.json, proto/retry-policy.json and the contract's image. Do not edit.

/** Version of this package. */
export const PACKAGE_VERSION = ${literal(version)};

/** SHA-256 of the contract this package was generated from; sent with every call as \`x-memoir-contract\`. */
export const CONTRACT_SHA256 = ${literal(digest)};

/** When and how often a failed attempt is repeated; \`proto/retry-policy.json\` explains the fields. */
export const RETRY_POLICY = ${literal(policy)};

/** Which methods may be repeated, by \`package.Service/Method\`. */
export const RETRY_METHODS: Readonly<Record<string, string>> = ${literal(methods)};
`;

let current = "";
try {
  current = readFileSync(target, "utf8");
} catch (error) {
  if (error.code !== "ENOENT") throw error;
}
if (current !== text) {
  if (process.argv.includes("--check")) {
    console.error("embed: src/embedded.ts is not current. Run `npm run build` in sdk-node and commit it.");
    process.exit(1);
  }
  writeFileSync(target, text);
}
