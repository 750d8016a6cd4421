-- Letters that left the pipeline before their intent: refused or postponed copies, messages that
-- cannot be personalised. Of a message that was served before, nothing changes but when its copy
-- is tried again; one that an administrator released meanwhile stays released.
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
      FROM unnest(%(ordinals)s::int[], %(served)s::boolean[], %(statuses)s::message_status[],
                  %(copies)s::copy_status[], %(failures)s::message_failure[], %(replies)s::text[],
                  %(retries)s::interval[])
        AS s (ordinal, served, status, copy, failure, reply, retry)
), moved AS (
    UPDATE outbox_message AS m
       SET status = CASE WHEN s.served THEN m.status ELSE s.status END,
           copy = CASE WHEN m.copy = 'owed' THEN m.copy ELSE s.copy END,
           failure = coalesce(s.failure, m.failure),
           copy_attempts = m.copy_attempts
                           + (s.reply IS NOT NULL AND s.failure IS NULL)::int::smallint,
           settled_at = CASE WHEN s.failure IS NULL THEN m.settled_at ELSE now() END,
           next_attempt_at = CASE WHEN s.retry IS NULL THEN NULL
                                  WHEN s.served THEN now() + s.retry
                                  ELSE least(now() + s.retry, d.valid_until) END
      FROM setback AS s, mine, engine_delivery AS d
     WHERE m.delivery_id = %(delivery)s
       AND d.id = m.delivery_id
       AND m.ordinal = s.ordinal
       AND m.part = mine.number
       AND CASE WHEN s.served THEN m.copy = 'owed'
                ELSE m.status IN ('pending', 'deposited', 'deferred') END
 RETURNING m.ordinal, m.copy_attempts, m.attempts
)
-- What the archive said; or, of a message that failed before its copy, our own words.
INSERT INTO outbox_reply (delivery_id, ordinal, attempt, to_archive, at, reply)
     SELECT %(delivery)s, s.ordinal,
            CASE WHEN s.failure IS NULL THEN moved.copy_attempts ELSE moved.attempts END,
            s.failure IS NULL, now(), s.reply
       FROM setback AS s JOIN moved USING (ordinal)
      WHERE s.reply IS NOT NULL
