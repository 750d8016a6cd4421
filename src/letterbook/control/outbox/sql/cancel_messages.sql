-- tables: outbox_part, outbox_message
-- What has not begun never will. Messages in flight (sending) settle by themselves. Parts are
-- locked first and in their order, as everywhere, so that no two statements wait for each other.
WITH locked AS MATERIALIZED (
    SELECT number FROM outbox_part
     WHERE delivery_id = %(delivery)s
     ORDER BY number
       FOR NO KEY UPDATE
)
UPDATE outbox_message AS m
   SET status = 'cancelled', next_attempt_at = NULL
  FROM (SELECT count(*) FROM locked) AS first_lock
 WHERE m.delivery_id = %(delivery)s
   AND m.status IN ('pending', 'deposited', 'deferred')
