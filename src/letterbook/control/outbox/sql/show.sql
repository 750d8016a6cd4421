-- tables: outbox_part
-- The tallies of the parts, never a count over the ledger.
SELECT {sums}
  FROM outbox_part
 WHERE delivery_id = %(delivery)s
