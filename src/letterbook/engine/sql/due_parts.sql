-- Parts with something to do that nobody holds and no job waits for, whatever became of jobs that
-- were there before.
SELECT p.delivery_id, p.number, p.copies_none = 0 AS copied
  FROM outbox_part AS p
  JOIN engine_delivery AS d ON d.id = p.delivery_id
 WHERE (
        (p.due_at <= now() AND d.state IN ('sending', 'retrying'))
        -- Nobody looks through the parts of a delivery that is stopped: what is owed comes up here.
        OR (p.copies_owed > 0
            AND (p.owed_at <= now() OR p.owed_at IS NULL AND d.state = 'stopped')
            AND (SELECT state <> 'down' FROM outbox_health WHERE route = 'archive'))
       )
   AND p.lease_until IS NULL
   AND NOT EXISTS (
        SELECT FROM procrastinate_jobs AS j
         WHERE j.status = 'todo'
           AND j.queueing_lock = 'part ' || p.delivery_id || ' ' || p.number
       )
 ORDER BY p.delivery_id, p.number
 LIMIT %(limit)s
