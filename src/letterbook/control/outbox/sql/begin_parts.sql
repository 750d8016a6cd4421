-- tables: outbox_part
-- A delivery starts: each part becomes due with its wave.
UPDATE outbox_part
   SET due_at = now() + starts_after
 WHERE delivery_id = %(delivery)s
