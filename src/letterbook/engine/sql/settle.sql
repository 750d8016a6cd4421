-- What became of messages whose intent was committed. A late outcome resolves a doubt about the
-- same attempt; done twice, the second time changes nothing. The part is locked first, as
-- everywhere.
WITH locked AS MATERIALIZED (
    SELECT number FROM outbox_part
     WHERE delivery_id = %(delivery)s AND number = ANY (%(parts)s::int[])
     ORDER BY number
       FOR NO KEY UPDATE
), outcome AS (
    SELECT *
      FROM unnest(%(ordinals)s::int[], %(attempts)s::smallint[], %(statuses)s::message_status[],
                  %(failures)s::message_failure[], %(counted)s::boolean[], %(at)s::timestamptz[],
                  %(replies)s::text[], %(retries)s::interval[])
        AS o (ordinal, attempt, status, failure, counted, at, reply, retry)
), moved AS (
    UPDATE outbox_message AS m
       SET status = o.status,
           failure = o.failure,
           attempts = m.attempts - (NOT o.counted)::int::smallint,
           settled_at = o.at,
           next_attempt_at = least(o.at + o.retry, d.valid_until)
      FROM outcome AS o, engine_delivery AS d, (SELECT count(*) FROM locked) AS first_lock
     WHERE m.delivery_id = %(delivery)s
       AND d.id = m.delivery_id
       AND m.ordinal = o.ordinal
       AND m.attempts = o.attempt
       AND m.status IN ('sending', 'in_doubt')
 RETURNING m.ordinal
)
INSERT INTO outbox_reply (delivery_id, ordinal, attempt, to_archive, at, reply)
     SELECT %(delivery)s, o.ordinal, o.attempt, false, o.at, o.reply
       FROM outcome AS o JOIN moved USING (ordinal)
      WHERE o.reply IS NOT NULL
