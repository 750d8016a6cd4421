-- tables: outbox_lineage
-- From here on this is the database that everybody knows.
WITH before AS (SELECT lineage FROM outbox_lineage)
UPDATE outbox_lineage AS l
   SET lineage = outbox_current_lineage(), since = now()
  FROM before
RETURNING before.lineage, l.lineage
