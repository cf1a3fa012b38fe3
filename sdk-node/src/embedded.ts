// Written by scripts/embed.mjs from package.json, proto/retry-policy.json and the contract's image. Do not edit.

/** Version of this package. */
export const PACKAGE_VERSION = "0.1.0";

/** SHA-256 of the contract this package was generated from; sent with every call as `x-memoir-contract`. */
export const CONTRACT_SHA256 = "94c0a691e693f4daa33cebe2463822f934d5bd3b15651b1f0a290d3a4c5b57e7";

/** When and how often a failed attempt is repeated; `proto/retry-policy.json` explains the fields. */
export const RETRY_POLICY = {
  "max_attempts": 4,
  "initial_backoff_ms": 50,
  "max_backoff_ms": 2000,
  "multiplier": 2,
  "jitter": 0.2,
  "retryable_codes": [
    "UNAVAILABLE",
    "RESOURCE_EXHAUSTED"
  ],
  "retry_info_required": [
    "RESOURCE_EXHAUSTED"
  ]
};

/** Which methods may be repeated, by `package.Service/Method`. */
export const RETRY_METHODS: Readonly<Record<string, string>> = {
  "memoir.v1.MemoryService/AddMemories": "with_request_id",
  "memoir.v1.MemoryService/CreateMemory": "with_request_id",
  "memoir.v1.MemoryService/BatchCreateMemories": "with_request_id",
  "memoir.v1.MemoryService/GetMemory": "always",
  "memoir.v1.MemoryService/ListMemories": "always",
  "memoir.v1.MemoryService/UpdateMemory": "with_request_id",
  "memoir.v1.MemoryService/DeleteMemory": "with_request_id",
  "memoir.v1.MemoryService/BatchDeleteMemories": "with_request_id",
  "memoir.v1.MemoryService/ListScopes": "always",
  "memoir.v1.MemoryService/GetIngestion": "always",
  "memoir.v1.MemoryService/ListIngestions": "always",
  "memoir.v1.SearchService/SearchMemories": "always",
  "memoir.v1.SearchService/StreamSearchMemories": "always",
  "memoir.v1.SearchService/BuildContext": "always",
  "memoir.v1.GraphService/GetEntity": "always",
  "memoir.v1.GraphService/ListEntities": "always",
  "memoir.v1.GraphService/ListRelations": "always",
  "memoir.v1.GraphService/TraverseGraph": "always",
  "memoir.v1.HistoryService/ListHistory": "always",
  "memoir.v1.HistoryService/WatchHistory": "always",
  "memoir.v1.ResetService/PlanReset": "with_request_id",
  "memoir.v1.ResetService/ExecuteReset": "with_request_id",
  "memoir.v1.ResetService/GetReset": "always",
  "memoir.v1.ResetService/WatchReset": "always",
  "memoir.v1.ResetService/CancelReset": "with_request_id",
  "memoir.v1.TransferService/ExportMemories": "always",
  "memoir.v1.TransferService/ImportMemories": "never",
  "memoir.v1.AdminService/GetServerInfo": "always",
  "memoir.v1.AdminService/CheckConsistency": "always",
  "memoir.v1.AdminService/RepairConsistency": "with_request_id",
  "memoir.v1.AdminService/RebuildProjection": "with_request_id"
};
