-- Copies that were owed and have been accepted now. The row keeps the hash of what was sent; should
-- the copy differ from it, its hash is kept beside.
WITH locked AS MATERIALIZED (
    SELECT number FROM outbox_part
     WHERE delivery_id = %(delivery)s AND number = ANY (%(parts)s::int[])
     ORDER BY number
       FOR NO KEY UPDATE
), receipt AS (
    SELECT *
      FROM unnest(%(ordinals)s::int[], %(digests)s::bytea[], %(at)s::timestamptz[],
                  %(versions)s::int[], %(replies)s::text[], %(generations)s::smallint[])
        AS r (ordinal, sha256, at, version, reply, generation)
), moved AS (
    UPDATE outbox_message AS m
       SET copy = 'accepted',
           copy_at = r.at,
           copy_version = r.version,
           copy_attempts = m.copy_attempts + 1::smallint,
           generation = r.generation,
           next_attempt_at = NULL
      FROM receipt AS r, (SELECT count(*) FROM locked) AS first_lock
     WHERE m.delivery_id = %(delivery)s
       AND m.ordinal = r.ordinal
       AND m.copy = 'owed'
 RETURNING m.ordinal, m.copy_attempts, m.sha256
), other_bytes AS (
    INSERT INTO outbox_generation (delivery_id, ordinal, generation, sha256)
         SELECT %(delivery)s, r.ordinal, r.generation, r.sha256
           FROM receipt AS r JOIN moved USING (ordinal)
          WHERE r.sha256 <> moved.sha256
    ON CONFLICT DO NOTHING
)
INSERT INTO outbox_reply (delivery_id, ordinal, attempt, to_archive, at, reply)
     SELECT %(delivery)s, r.ordinal, moved.copy_attempts, true, r.at, r.reply
       FROM receipt AS r JOIN moved USING (ordinal)
