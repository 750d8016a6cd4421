-- tables: outbox_part, outbox_message, outbox_reply
-- Somebody knows what became of messages in doubt (all, or those named). What they said is kept
-- where the server's reply would be.
WITH locked AS MATERIALIZED (
    SELECT number FROM outbox_part
     WHERE delivery_id = %(delivery)s
     ORDER BY number
       FOR NO KEY UPDATE
), moved AS (
    UPDATE outbox_message AS m
       SET status = %(status)s::message_status,
           failure = %(failure)s::message_failure,
           settled_at = now()
      FROM (SELECT count(*) FROM locked) AS first_lock
     WHERE m.delivery_id = %(delivery)s
       AND m.status = 'in_doubt'
       AND (%(ordinals)s::int[] IS NULL OR m.ordinal = ANY (%(ordinals)s))
 RETURNING m.ordinal, m.attempts
)
INSERT INTO outbox_reply (delivery_id, ordinal, attempt, to_archive, at, reply)
     SELECT %(delivery)s, ordinal, attempts, false, now(), %(words)s FROM moved
