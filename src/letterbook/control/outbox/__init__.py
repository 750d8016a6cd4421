"""The ledger: one row a message, and everything that the engine reads and writes."""
