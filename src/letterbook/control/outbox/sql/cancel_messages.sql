-- tables: outbox_message
-- What has not begun never will. Messages in flight (sending) settle by themselves. The parts are
-- locked already.
UPDATE outbox_message
   SET status = 'cancelled', next_attempt_at = NULL
 WHERE delivery_id = %(delivery)s
   AND status IN ('pending', 'deposited', 'deferred')
