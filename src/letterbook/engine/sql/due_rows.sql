-- What there is to do in a part: messages that are due, and copies that are still owed.
-- The fields are looked up row by row (OFFSET 0 keeps it so): of a delivery that is newer than the
-- statistics the planner expects one row, and would read all its fields again for each message.
SELECT m.ordinal, m.recipient_id, m.address, m.status::text, m.copy::text, m.attempts,
       m.copy_attempts, m.generation, m.sha256, f.fields
  FROM outbox_message AS m
  CROSS JOIN LATERAL (
        SELECT fields FROM outbox_fields
         WHERE delivery_id = m.delivery_id AND ordinal = m.ordinal
        OFFSET 0
  ) AS f
 WHERE m.delivery_id = %(delivery)s
   AND m.ordinal BETWEEN %(first)s AND %(last)s
   AND (m.next_attempt_at IS NULL OR m.next_attempt_at <= now())
   AND (
        (%(active)s AND m.status IN ('pending', 'deposited', 'deferred'))
        OR (m.copy = 'owed' AND m.status IN ('sent', 'failed', 'in_doubt', 'cancelled'))
       )
 ORDER BY m.ordinal
