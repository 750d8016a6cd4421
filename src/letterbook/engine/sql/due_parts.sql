-- Parts with something to do that nobody holds and no job waits for, whatever became of jobs that
-- were there before. Only the first few parts of a delivery wait as jobs at a time, each ranked by
-- its place among them: so the next free worker takes by priority first, and then in turn from all
-- deliveries, however many parts one has.
WITH due AS (
    SELECT p.delivery_id, p.number, c.priority,
           EXISTS (
                SELECT FROM procrastinate_jobs AS j
                 WHERE j.status = 'todo'
                   AND j.queueing_lock = 'part ' || p.delivery_id || ' ' || p.number
           ) AS queued
      FROM outbox_part AS p
      JOIN engine_delivery AS d ON d.id = p.delivery_id
      JOIN outbox_content AS c ON c.delivery_id = p.delivery_id
     WHERE p.lease_until IS NULL
       AND (
            (p.due_at <= now() AND d.state IN ('sending', 'retrying'))
            -- Nobody looks through the parts of a delivery that is stopped: what is owed comes up
            -- here.
            OR (p.copies_owed > 0
                AND (p.owed_at <= now() OR p.owed_at IS NULL AND d.state = 'stopped')
                AND (SELECT state <> 'down' FROM outbox_health WHERE route = 'archive'))
           )
), ranked AS (
    SELECT *, (row_number() OVER (PARTITION BY delivery_id ORDER BY queued DESC, number))::int
              AS rank
      FROM due
)
SELECT delivery_id, number, priority, rank
  FROM ranked
 WHERE NOT queued AND rank <= %(ahead)s
 ORDER BY priority DESC, rank, delivery_id
 LIMIT %(limit)s
