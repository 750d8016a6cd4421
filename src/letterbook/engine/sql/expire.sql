-- The validity has ended: what was not sent never will be.
UPDATE outbox_message
   SET status = 'failed',
       failure = CASE WHEN copy = 'refused' THEN 'archive_refused' ELSE 'expired' END::message_failure,
       settled_at = now(),
       next_attempt_at = NULL
 WHERE delivery_id = %(delivery)s
   AND ordinal BETWEEN %(first)s AND %(last)s
   AND status IN ('pending', 'deposited', 'deferred')
