"""Use cases: remembering, recalling, history, reset, projection. Knows no gRPC, no SQL, no vendor client."""
