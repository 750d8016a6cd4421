-- Intents whose commit was not known to their worker, because it had lost the database: the
-- pipeline is empty, so they were never begun.
UPDATE outbox_message AS m
   SET status = CASE WHEN d.state = 'stopped' AND m.attempts > 1
                          AND outbox_is_doubtful(m.delivery_id, m.ordinal, m.attempts - 1::smallint)
                     THEN 'in_doubt'
                     WHEN d.state = 'stopped' THEN 'cancelled'
                     WHEN m.copy = 'accepted' THEN 'deposited'
                     ELSE 'pending' END::message_status,
       attempts = m.attempts - 1
  FROM engine_delivery AS d
 WHERE m.delivery_id = %(delivery)s
   AND d.id = m.delivery_id
   AND m.ordinal BETWEEN %(first)s AND %(last)s
   AND m.status = 'sending'
