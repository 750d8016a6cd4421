-- Whether this database is the one that somebody has said how it stands: neither restored since, nor
-- another server after a failover.
SELECT is_known FROM engine_lineage
