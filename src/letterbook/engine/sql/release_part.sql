-- Give a part back, and say when there is something to do in it next. Only its owner may.
UPDATE outbox_part AS p
   SET owner = NULL,
       lease_until = NULL,
       (due_at, owed_at) = (
           SELECT min(coalesce(m.next_attempt_at, now()))
                      FILTER (WHERE m.status IN ('pending', 'deposited', 'deferred')),
                  min(coalesce(m.next_attempt_at, now())) 
                      FILTER (WHERE m.copy = 'owed' AND
                                    m.status IN ('sent', 'failed', 'in_doubt', 'cancelled'))
             FROM outbox_message AS m
            WHERE m.delivery_id = p.delivery_id
              AND m.ordinal BETWEEN p.first_ordinal AND p.last_ordinal
       )
 WHERE p.delivery_id = %(delivery)s
   AND p.number = %(part)s
   AND p.epoch = %(epoch)s
