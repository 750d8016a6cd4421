-- Deliveries in which nothing is left to do, or only deferred messages remain.
WITH tally AS (
    SELECT p.delivery_id,
           sum(p.pending + p.deposited) AS waiting,
           sum(p.sending) AS flying,
           sum(p.deferred) AS deferred
      FROM outbox_part AS p
      JOIN engine_delivery AS d ON d.id = p.delivery_id
     WHERE d.state IN ('sending', 'retrying')
  GROUP BY p.delivery_id
)
UPDATE engine_delivery AS d
   SET state = CASE WHEN t.waiting > 0 THEN 'sending'
                    WHEN t.deferred > 0 THEN 'retrying'
                    ELSE 'finished' END,
       finished_at = CASE WHEN t.waiting = 0 AND t.deferred = 0 THEN now() END
  FROM tally AS t
 WHERE d.id = t.delivery_id
   AND d.state IN ('sending', 'retrying')
   AND t.flying = 0
   AND d.state <> CASE WHEN t.waiting > 0 THEN 'sending'
                       WHEN t.deferred > 0 THEN 'retrying'
                       ELSE 'finished' END
