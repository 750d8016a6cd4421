-- Letters that left the pipeline before their intent: refused or postponed copies, messages that
-- cannot be personalised.
WITH mine AS MATERIALIZED (
    SELECT p.number
      FROM outbox_part AS p
      JOIN unnest(%(parts)s::int[], %(epochs)s::int[]) AS held (number, epoch)
           USING (number, epoch)
     WHERE p.delivery_id = %(delivery)s
     ORDER BY p.number
       FOR NO KEY UPDATE OF p
), setback AS (
    SELECT *
      FROM unnest(%(ordinals)s::int[], %(statuses)s::message_status[], %(copies)s::copy_status[],
                  %(failures)s::message_failure[], %(replies)s::text[], %(retries)s::interval[])
        AS s (ordinal, status, copy, failure, reply, retry)
), moved AS (
    UPDATE outbox_message AS m
       SET status = s.status,
           copy = s.copy,
           failure = s.failure,
           copy_attempts = m.copy_attempts + (s.reply IS NOT NULL)::int::smallint,
           settled_at = CASE WHEN s.status = 'failed' THEN now() END,
           next_attempt_at = CASE WHEN s.copy = 'owed' THEN now() + s.retry
                              ELSE least(now() + s.retry, d.valid_until) END
      FROM setback AS s, mine, engine_delivery AS d
     WHERE m.delivery_id = %(delivery)s
       AND d.id = m.delivery_id
       AND m.ordinal = s.ordinal
       AND m.part = mine.number
       AND (m.status IN ('pending', 'deposited', 'deferred') OR m.copy = 'owed')
 RETURNING m.ordinal, m.copy_attempts
)
INSERT INTO outbox_reply (delivery_id, ordinal, attempt, to_archive, at, reply)
     SELECT %(delivery)s, s.ordinal, moved.copy_attempts, true, now(), s.reply
       FROM setback AS s JOIN moved USING (ordinal)
      WHERE s.reply IS NOT NULL
