-- tables: outbox_content, outbox_message, outbox_reply
-- A line a message, in order. The last reply of each route is found by the index on replies.
SELECT m.ordinal, m.address, m.status::text, encode(m.sha256, 'hex'),
       CASE WHEN m.copy = 'waiting' AND m.status IN ('failed', 'cancelled') THEN 'none'
            ELSE m.copy::text END,
       m.copy_at, c.reply AS copy_reply, m.settled_at, m.failure::text, r.reply, m.attempts,
       f.kind::text
  FROM outbox_message AS m
  JOIN outbox_content AS f USING (delivery_id)
  LEFT JOIN LATERAL (
       SELECT reply FROM outbox_reply
        WHERE delivery_id = m.delivery_id AND ordinal = m.ordinal AND to_archive
        ORDER BY at DESC LIMIT 1
  ) AS c ON true
  LEFT JOIN LATERAL (
       SELECT reply FROM outbox_reply
        WHERE delivery_id = m.delivery_id AND ordinal = m.ordinal AND NOT to_archive
        ORDER BY at DESC LIMIT 1
  ) AS r ON true
 WHERE m.delivery_id = %(delivery)s
 ORDER BY m.ordinal
