-- tables: outbox_part
SELECT wave, sum(last_ordinal - first_ordinal + 1)::int, min(starts_after)
  FROM outbox_part
 WHERE delivery_id = %(delivery)s
 GROUP BY wave
 ORDER BY wave
