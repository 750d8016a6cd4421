-- What had its intent and no outcome when its worker went: nobody can know what became of it. It is
-- shown as in doubt, unless its delivery sends such messages again, which it does as often as it
-- retries, and not after a stop. Of a test there is no doubt: no content was ever on its way, so its
-- recipient is asked again.
UPDATE outbox_message AS m
   SET status = CASE WHEN c.kind = 'test' AND d.state = 'stopped' THEN 'cancelled'
                     WHEN c.kind <> 'test'
                          AND (NOT c.resends_doubts OR m.attempts > c.retry_max
                               OR d.state = 'stopped')
                     THEN 'in_doubt'
                     WHEN m.copy = 'accepted' THEN 'deposited'
                     ELSE 'pending' END::message_status,
       attempts = m.attempts - (c.kind = 'test')::int::smallint,
       settled_at = CASE WHEN c.kind = 'test' THEN m.settled_at ELSE now() END
  FROM engine_delivery AS d
  JOIN outbox_content AS c ON c.delivery_id = d.id
 WHERE m.delivery_id = %(delivery)s
   AND d.id = m.delivery_id
   AND m.ordinal BETWEEN %(first)s AND %(last)s
   AND m.status = 'sending'
