-- tables: outbox_message
-- What has not begun never will; but what was in doubt, and is not sent again now, is in doubt still.
-- Messages in flight (sending) settle by themselves. The parts are locked already.
UPDATE outbox_message
   SET status = CASE WHEN attempts > 0 AND outbox_is_doubtful(delivery_id, ordinal, attempts)
                     THEN 'in_doubt' ELSE 'cancelled' END::message_status,
       next_attempt_at = NULL
 WHERE delivery_id = %(delivery)s
   AND status IN ('pending', 'deposited', 'deferred')
