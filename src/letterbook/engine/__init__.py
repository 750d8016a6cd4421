"""The engine: takes messages from the ledger, archives and sends them, and settles the outcome.

asyncio, and no Django: it meets the control plane in the ledger's tables and views only.
"""
