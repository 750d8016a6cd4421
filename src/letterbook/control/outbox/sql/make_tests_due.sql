-- tables: outbox_part, outbox_message, outbox_content, deliveries_delivery
-- The recipients of a test that was under way are asked again when it is resumed.
WITH tests AS (
    SELECT d.id
      FROM deliveries_delivery AS d
      JOIN outbox_content AS c ON c.delivery_id = d.id
     WHERE c.kind = 'test' AND d.state = 'paused' AND d.started_at IS NOT NULL
), again AS (
    UPDATE outbox_message AS m
       SET status = 'pending', attempts = m.attempts - 1
      FROM tests
     WHERE m.delivery_id = tests.id AND m.status = 'sending'
)
UPDATE outbox_part AS p
   SET due_at = now()
  FROM tests
 WHERE p.delivery_id = tests.id
   AND p.pending + p.deposited + p.sending + p.deferred > 0
