-- What had its intent and no outcome when its worker went. Of a test there is no doubt: no content
-- was ever on its way, so its recipient is asked again.
UPDATE outbox_message AS m
   SET status = CASE WHEN c.kind <> 'test' THEN 'in_doubt'
                     WHEN d.state = 'stopped' THEN 'cancelled'
                     ELSE 'pending' END::message_status,
       attempts = m.attempts - (c.kind = 'test')::int::smallint,
       settled_at = CASE WHEN c.kind = 'test' THEN m.settled_at ELSE now() END
  FROM engine_delivery AS d
  JOIN outbox_content AS c ON c.delivery_id = d.id
 WHERE m.delivery_id = %(delivery)s
   AND d.id = m.delivery_id
   AND m.ordinal BETWEEN %(first)s AND %(last)s
   AND m.status = 'sending'
