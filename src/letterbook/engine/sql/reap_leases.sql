-- Parts whose worker has gone: shut it out by a new epoch and lock the row. What it had an intent
-- for is put in doubt by the next statement, because nobody can know what became of it.
UPDATE outbox_part
   SET epoch = epoch + 1, owner = NULL
 WHERE (delivery_id, number) IN (
        SELECT delivery_id, number
          FROM outbox_part
         WHERE lease_until <= clock_timestamp()
         ORDER BY delivery_id, number
         LIMIT %(limit)s
           FOR NO KEY UPDATE SKIP LOCKED
       )
   AND lease_until <= clock_timestamp()
RETURNING delivery_id, number, epoch, first_ordinal, last_ordinal
