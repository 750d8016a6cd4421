-- Parts with something to do that nobody holds and no job waits for, whatever became of jobs that
-- were there before. Only the first few parts of a delivery wait as jobs at a time, each ranked by
-- its place among them: so the next free worker takes by priority first, and then in turn from all
-- deliveries. No more of a delivery is looked at, however many parts it has.
WITH due AS (
    SELECT p.delivery_id, p.number
      FROM engine_delivery AS d
     CROSS JOIN LATERAL (
            SELECT delivery_id, number
              FROM outbox_part
             WHERE delivery_id = d.id AND due_at <= now() AND lease_until IS NULL
             ORDER BY number
             LIMIT 2 * %(ahead)s
           ) AS p
     WHERE d.state IN ('sending', 'retrying')
     UNION
    -- Nobody looks through the parts of a delivery that is stopped: what is owed comes up here.
    SELECT p.delivery_id, p.number
      FROM outbox_part AS p
      JOIN engine_delivery AS d ON d.id = p.delivery_id
     WHERE p.copies_owed > 0
       AND p.lease_until IS NULL
       AND (p.owed_at <= now() OR p.owed_at IS NULL AND d.state = 'stopped')
       AND (SELECT state <> 'down' FROM outbox_health WHERE route = 'archive')
), queued AS (
    SELECT due.*, c.priority, c.email_bcc,
           EXISTS (
                SELECT FROM procrastinate_jobs AS j
                 WHERE j.status = 'todo'
                   AND j.queueing_lock = 'part ' || due.delivery_id || ' ' || due.number
           ) AS queued
      FROM due JOIN outbox_content AS c USING (delivery_id)
), ranked AS (
    SELECT *, (row_number() OVER (PARTITION BY delivery_id ORDER BY queued DESC, number))::int
              AS rank
      FROM queued
)
SELECT delivery_id, number, priority, rank, email_bcc AS copied
  FROM ranked
 WHERE NOT queued AND rank <= %(ahead)s
   AND (SELECT is_known FROM engine_lineage)
 ORDER BY priority DESC, rank, delivery_id
 LIMIT %(limit)s
