-- The validity has ended: what was not sent never will be; but what was in doubt, and was to be sent
-- again, is in doubt still.
UPDATE outbox_message AS m
   SET status = CASE WHEN doubt.remains THEN 'in_doubt' ELSE 'failed' END::message_status,
       failure = CASE WHEN doubt.remains THEN NULL
                      WHEN m.copy = 'refused' THEN 'archive_refused'
                      ELSE 'expired' END::message_failure,
       settled_at = now(),
       next_attempt_at = NULL
  FROM (
        SELECT ordinal,
               attempts > 0 AND outbox_is_doubtful(delivery_id, ordinal, attempts) AS remains
          FROM outbox_message
         WHERE delivery_id = %(delivery)s
           AND ordinal BETWEEN %(first)s AND %(last)s
           AND status IN ('pending', 'deposited', 'deferred')
        OFFSET 0  -- asked once a message
       ) AS doubt
 WHERE m.delivery_id = %(delivery)s
   AND m.ordinal = doubt.ordinal
