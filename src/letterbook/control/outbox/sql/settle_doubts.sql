-- tables: outbox_message, outbox_reply
-- Somebody knows what became of messages in doubt (all, or those named). What they said is kept
-- where the server's reply would be. The parts are locked already.
WITH moved AS (
    UPDATE outbox_message
       SET status = %(status)s::message_status,
           failure = %(failure)s::message_failure,
           settled_at = now()
     WHERE delivery_id = %(delivery)s
       AND status = 'in_doubt'
       AND (%(ordinals)s::int[] IS NULL OR ordinal = ANY (%(ordinals)s))
 RETURNING ordinal, attempts
)
INSERT INTO outbox_reply (delivery_id, ordinal, attempt, to_archive, at, reply)
     SELECT %(delivery)s, ordinal, attempts, false, now(), %(words)s FROM moved
