-- What became of messages whose intent was committed. Done twice, the second time changes nothing.
-- A late outcome, of a part that was taken over meanwhile, resolves a doubt about the same attempt
-- and nothing else. The delivery is locked first and the parts next, as everywhere; in a delivery
-- that was stopped, what would be tried again is cancelled.
WITH delivery AS MATERIALIZED (
    SELECT state = 'stopped' AS stopped, valid_until
      FROM engine_delivery
     WHERE id = %(delivery)s
       FOR SHARE
), locked AS MATERIALIZED (
    SELECT p.number, p.epoch
      FROM delivery
      CROSS JOIN LATERAL (
            SELECT part.number, part.epoch
              FROM outbox_part AS part
             WHERE part.delivery_id = %(delivery)s
               AND part.number = ANY (%(parts)s::int[])
               AND delivery.stopped IS NOT NULL
             ORDER BY part.number
               FOR NO KEY UPDATE OF part
      ) AS p
), outcome AS (
    SELECT *
      FROM unnest(%(ordinals)s::int[], %(epochs)s::int[], %(attempts)s::smallint[],
                  %(statuses)s::message_status[], %(failures)s::message_failure[],
                  %(counted)s::boolean[], %(at)s::timestamptz[], %(replies)s::text[],
                  %(retries)s::interval[])
        AS o (ordinal, epoch, attempt, status, failure, counted, at, reply, retry)
), moved AS (
    UPDATE outbox_message AS m
       SET status = CASE WHEN delivery.stopped AND o.status IN ('pending', 'deposited', 'deferred')
                         -- An attempt before this one may have arrived.
                         THEN CASE WHEN m.attempts > 1
                                        AND outbox_is_doubtful(m.delivery_id, m.ordinal,
                                                               m.attempts - 1::smallint)
                                   THEN 'in_doubt' ELSE 'cancelled' END::message_status
                         -- The delivery sends what is in doubt again.
                         WHEN o.status = 'in_doubt' AND o.retry IS NOT NULL AND NOT delivery.stopped
                         THEN 'deferred'
                         ELSE o.status END,
           failure = o.failure,
           attempts = m.attempts - (NOT o.counted)::int::smallint,
           settled_at = o.at,
           -- No retry: at once, if there is anything left to do.
           next_attempt_at = CASE WHEN o.retry IS NOT NULL AND NOT delivery.stopped
                                  THEN least(o.at + o.retry, delivery.valid_until) END
      FROM outcome AS o, locked, delivery
     WHERE m.delivery_id = %(delivery)s
       AND m.ordinal = o.ordinal
       AND m.part = locked.number
       AND m.attempts = o.attempt
       AND (m.status = 'in_doubt' OR m.status = 'sending' AND o.epoch = locked.epoch)
 RETURNING m.ordinal, m.part, m.status, m.next_attempt_at, o.epoch <> locked.epoch AS late
), resumed AS (
    -- Its part may have been given back since by whoever took it over.
    UPDATE outbox_part AS p
       SET due_at = least(p.due_at, again.at)
      FROM (
            SELECT part, min(coalesce(next_attempt_at, now())) AS at
              FROM moved
             WHERE late AND status IN ('pending', 'deposited', 'deferred')
             GROUP BY part
           ) AS again
     WHERE p.delivery_id = %(delivery)s AND p.number = again.part
), replies AS (
    INSERT INTO outbox_reply (delivery_id, ordinal, attempt, to_archive, at, reply)
         SELECT %(delivery)s, o.ordinal, o.attempt, false, o.at, o.reply
           FROM outcome AS o JOIN moved USING (ordinal)
          WHERE o.reply IS NOT NULL
)
-- Fewer than there are outcomes: see Ledger.settle.
SELECT count(*) FROM moved
