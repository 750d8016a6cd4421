"""The ledger's tables are made by SQL (``migrations/0001_ledger.sql``) and read by SQL.

Nothing of it is a Django model: rows move in sets, never one by one.
"""
