-- The private halves of the DKIM keys that a delivery froze.
SELECT id, sealed FROM engine_dkim_key WHERE id = ANY(%(keys)s)
