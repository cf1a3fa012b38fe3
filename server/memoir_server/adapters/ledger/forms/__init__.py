"""Forms that every ledger writes alike: keys, bodies of rows, digests. A ledger keeps them when it moves."""
