-- The gate. Nothing is sent but what this statement returns as 'sending'.
-- It locks the delivery first and the parts next, always in this order: pause and stop update the
-- delivery, takeover updates the part, and each of them shuts the gate. A letter whose copy was
-- accepted but may not go on is noted as deposited, so that it need not be deposited again.
-- It is shut when the validity has ended, however long a part was under way at a limited rate; and, in
-- a database that was restored or promoted after a failover, for everybody.
WITH delivery AS MATERIALIZED (
    SELECT count(*) = 1 AS open
      FROM (SELECT FROM engine_delivery
             WHERE id = %(delivery)s AND state IN ('sending', 'retrying')
               AND coalesce(valid_until > now(), true)
               AND (SELECT is_known FROM engine_lineage)
               FOR SHARE) AS locked
), mine AS MATERIALIZED (
    SELECT p.number, delivery.open
      FROM delivery
      CROSS JOIN LATERAL (
            SELECT part.number
              FROM outbox_part AS part
              JOIN unnest(%(parts)s::int[], %(epochs)s::int[]) AS held (number, epoch)
                   USING (number, epoch)
             WHERE part.delivery_id = %(delivery)s
               AND part.lease_until > clock_timestamp()
               AND delivery.open IS NOT NULL
             ORDER BY part.number
               FOR NO KEY UPDATE OF part
      ) AS p
), offered AS (
    SELECT *
      FROM unnest(%(ordinals)s::int[], %(digests)s::bytea[], %(generations)s::smallint[],
                  %(copies)s::copy_status[], %(copied_at)s::timestamptz[],
                  %(versions)s::int[], %(replies)s::text[])
        AS o (ordinal, sha256, generation, copy, copy_at, copy_version, reply)
), moved AS (
    UPDATE outbox_message AS m
       SET status = CASE WHEN mine.open THEN 'sending'
                         WHEN m.status = 'cancelled' THEN 'cancelled'
                         ELSE 'deposited' END::message_status,
           attempts = m.attempts + mine.open::int::smallint,
           copy = o.copy,
           copy_at = coalesce(o.copy_at, m.copy_at),
           copy_version = coalesce(o.copy_version, m.copy_version),
           copy_attempts = m.copy_attempts + (o.reply IS NOT NULL)::int::smallint,
           sha256 = o.sha256,
           generation = o.generation,
           next_attempt_at = NULL
      FROM offered AS o, mine
     WHERE m.delivery_id = %(delivery)s
       AND m.ordinal = o.ordinal
       AND m.part = mine.number
       AND (m.status IN ('pending', 'deposited', 'deferred')
            -- The delivery was stopped while the archive took the copy, which is there now.
            OR m.status = 'cancelled' AND NOT mine.open AND m.copy = 'waiting')
       AND CASE o.copy
           -- Only bytes that the archive has acknowledged (promises P1 and P2).
           WHEN 'accepted' THEN o.copy_at IS NOT NULL
                                OR (m.copy = 'accepted' AND m.sha256 = o.sha256)
           WHEN 'owed' THEN mine.open AND (m.copy = 'owed' OR
                                           (SELECT policy = 'owe' FROM engine_archive))
           WHEN 'none' THEN mine.open AND m.copy = 'none'
           ELSE false
           END
 RETURNING m.ordinal, m.status, m.attempts, m.copy_attempts, o.copy_at, o.reply
), superseded AS (
    -- Sees the rows as they were before this statement.
    INSERT INTO outbox_generation (delivery_id, ordinal, generation, sha256)
         SELECT %(delivery)s, o.ordinal, before.generation, before.sha256
           FROM offered AS o
           JOIN moved USING (ordinal)
          CROSS JOIN LATERAL (
                SELECT generation, sha256 FROM outbox_message
                 WHERE delivery_id = %(delivery)s AND ordinal = o.ordinal
                OFFSET 0  -- by the key, row by row: see due_rows
          ) AS before
          WHERE o.generation > 1
            AND before.generation < o.generation
            AND before.sha256 IS NOT NULL
    ON CONFLICT DO NOTHING
), replies AS (
    INSERT INTO outbox_reply (delivery_id, ordinal, attempt, to_archive, at, reply)
         SELECT %(delivery)s, ordinal, copy_attempts, true, copy_at, reply
           FROM moved WHERE reply IS NOT NULL
)
SELECT ordinal, attempts FROM moved WHERE status = 'sending'
