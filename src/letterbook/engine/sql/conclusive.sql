-- Deliveries whose state does not fit their tallies, locked: nobody adds to them from here on.
WITH tally AS (
    SELECT p.delivery_id AS id,
           CASE WHEN sum(p.pending + p.deposited) > 0 THEN 'sending'
                WHEN sum(p.deferred) > 0 THEN 'retrying'
                ELSE 'finished' END AS state
      FROM outbox_part AS p
      JOIN engine_delivery AS d ON d.id = p.delivery_id
     WHERE d.state IN ('sending', 'retrying')
  GROUP BY p.delivery_id
    HAVING sum(p.sending) = 0
)
SELECT d.id
  FROM engine_delivery AS d JOIN tally AS t USING (id)
 WHERE d.state IN ('sending', 'retrying') AND d.state <> t.state
 ORDER BY d.id
   FOR NO KEY UPDATE OF d
