-- Deliveries whose time has come. Their parts become due with their waves.
WITH due AS MATERIALIZED (
    SELECT id FROM engine_delivery
     WHERE state = 'scheduled' AND scheduled_at <= now()
       AND (SELECT is_known FROM engine_lineage)
     ORDER BY id
       FOR NO KEY UPDATE
), begun AS (
    UPDATE engine_delivery AS d
       SET state = 'sending', started_at = now(), valid_until = now() + c.validity
      FROM due JOIN outbox_content AS c ON c.delivery_id = due.id
     WHERE d.id = due.id
 RETURNING d.id
)
UPDATE outbox_part AS p
   SET due_at = now() + p.starts_after
  FROM begun
 WHERE p.delivery_id = begun.id
