-- Keep what we hold; a part of a delivery that is paused, held or stopped is not renewed unless
-- it has copies to bring.
UPDATE outbox_part AS p
   SET lease_until = clock_timestamp() + %(lease)s
  FROM unnest(%(deliveries)s::bigint[], %(parts)s::int[], %(epochs)s::int[])
       AS mine (delivery_id, number, epoch),
       engine_delivery AS d
 WHERE p.delivery_id = mine.delivery_id
   AND p.number = mine.number
   AND p.epoch = mine.epoch
   AND d.id = p.delivery_id
RETURNING p.delivery_id, p.number,
          d.state IN ('sending', 'retrying') OR p.copies_owed > 0 AS active
