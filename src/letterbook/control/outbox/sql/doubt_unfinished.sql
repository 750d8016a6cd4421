-- tables: outbox_part, outbox_message, outbox_content, deliveries_delivery
-- Whatever a restored ledger does not know the end of may have been sent since the backup. Two
-- things cannot have been: a message of a delivery whose time is still to come, and one of a test,
-- which sends nothing. The tallies say where to look.
UPDATE outbox_message AS m
   SET status = 'in_doubt', next_attempt_at = NULL, settled_at = now()
  FROM outbox_part AS p
  JOIN deliveries_delivery AS d ON d.id = p.delivery_id
  JOIN outbox_content AS c USING (delivery_id)
 WHERE p.pending + p.deposited + p.sending + p.deferred > 0
   AND m.delivery_id = p.delivery_id
   AND m.ordinal BETWEEN p.first_ordinal AND p.last_ordinal
   AND m.status IN ('pending', 'deposited', 'sending', 'deferred')
   AND c.kind <> 'test'
   AND (d.started_at IS NOT NULL OR d.scheduled_at IS NULL OR d.scheduled_at <= now())
