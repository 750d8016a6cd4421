-- Deliveries whose time has come. Their parts become due with them.
WITH begun AS (
    UPDATE engine_delivery AS d
       SET state = 'sending', started_at = now(), valid_until = now() + c.validity
      FROM outbox_content AS c
     WHERE c.delivery_id = d.id AND d.state = 'scheduled' AND d.scheduled_at <= now()
 RETURNING d.id
)
UPDATE outbox_part AS p SET due_at = now() FROM begun WHERE p.delivery_id = begun.id
