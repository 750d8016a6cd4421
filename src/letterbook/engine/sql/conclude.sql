-- Nothing is left to do, or only deferred messages remain. The tallies are added up once more, now
-- that the deliveries are locked.
WITH tally AS (
    SELECT delivery_id AS id,
           CASE WHEN sum(pending + deposited) > 0 THEN 'sending'
                WHEN sum(deferred) > 0 THEN 'retrying'
                ELSE 'finished' END AS state
      FROM outbox_part
     WHERE delivery_id = ANY (%(deliveries)s::bigint[])
  GROUP BY delivery_id
    HAVING sum(sending) = 0
)
UPDATE engine_delivery AS d
   SET state = tally.state,
       finished_at = CASE WHEN tally.state = 'finished' THEN now() END
  FROM tally
 WHERE d.id = tally.id
   AND d.state IN ('sending', 'retrying')
