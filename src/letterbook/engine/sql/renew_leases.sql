-- Keep what we hold; a part of a delivery that is paused, held or stopped must rest, unless it has
-- copies to bring. One that was given back meanwhile stays free. Parts are locked in their order,
-- as everywhere, so that no two statements wait for each other.
WITH mine AS MATERIALIZED (
    SELECT p.delivery_id, p.number
      FROM outbox_part AS p
      JOIN unnest(%(deliveries)s::bigint[], %(parts)s::int[], %(epochs)s::int[])
           AS held (delivery_id, number, epoch) USING (delivery_id, number, epoch)
     WHERE p.lease_until IS NOT NULL
     ORDER BY p.delivery_id, p.number
       FOR NO KEY UPDATE OF p
)
UPDATE outbox_part AS p
   SET lease_until = clock_timestamp() + %(lease)s
  FROM mine, engine_delivery AS d, (SELECT count(*) FROM mine) AS first_lock
 WHERE p.delivery_id = mine.delivery_id
   AND p.number = mine.number
   AND d.id = p.delivery_id
RETURNING p.delivery_id, p.number,
          d.state IN ('sending', 'retrying') OR p.copies_owed > 0 AS active
