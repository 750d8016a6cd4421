-- Take a part that nobody holds. Its Date is fixed by the first who takes it. In a database that was
-- restored, or promoted after a failover, nobody does.
UPDATE outbox_part AS p
   SET owner = %(worker)s,
       epoch = p.epoch + 1,
       lease_until = clock_timestamp() + %(lease)s,
       dated_at = coalesce(p.dated_at, date_trunc('second', now()))
  FROM engine_delivery AS d
 WHERE p.delivery_id = %(delivery)s
   AND p.number = %(part)s
   AND p.lease_until IS NULL
   AND d.id = p.delivery_id
   AND (SELECT is_known FROM engine_lineage)
   AND (d.state IN ('sending', 'retrying') OR p.copies_owed > 0)
RETURNING p.epoch, p.first_ordinal, p.last_ordinal, p.dated_at,
          d.state IN ('sending', 'retrying') AS active,
          coalesce(d.valid_until <= now(), false) AS expired
