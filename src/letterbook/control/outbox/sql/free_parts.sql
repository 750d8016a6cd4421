-- tables: outbox_part, deliveries_delivery
-- After a restore nobody holds any part: whoever did is shut out by a new epoch. The deliveries are
-- locked already; parts are locked in their order, as everywhere. Owed copies are brought, perhaps
-- once more.
WITH locked AS MATERIALIZED (
    SELECT p.delivery_id, p.number
      FROM outbox_part AS p
      JOIN deliveries_delivery AS d ON d.id = p.delivery_id
     WHERE d.state = 'paused'
        OR p.lease_until IS NOT NULL
        OR p.pending + p.deposited + p.sending + p.deferred > 0
     ORDER BY p.delivery_id, p.number
       FOR NO KEY UPDATE OF p
)
UPDATE outbox_part AS p
   SET owner = NULL,
       lease_until = NULL,
       epoch = p.epoch + 1,
       due_at = NULL,
       owed_at = CASE WHEN p.copies_owed > 0 THEN now() END
  FROM locked
 WHERE p.delivery_id = locked.delivery_id
   AND p.number = locked.number
