-- Take news to tell. Should this worker die of it, another one takes them again after a minute,
-- which is longer than any channel may take. That a cause is over is told after that it began.
UPDATE outbox_alert_news AS n
   SET due_at = now() + interval '1 minute', tries = n.tries + 1
  FROM (
        SELECT w.alert_id, w.channel, w.recovered
          FROM outbox_alert_news AS w
         WHERE w.told_at IS NULL
           AND w.due_at <= now()
           AND NOT (w.recovered AND EXISTS (
                SELECT FROM outbox_alert_news AS began
                 WHERE began.alert_id = w.alert_id AND began.channel = w.channel
                   AND NOT began.recovered AND began.told_at IS NULL))
         ORDER BY w.alert_id, w.channel
         LIMIT 10
           FOR UPDATE SKIP LOCKED
       ) AS due
  JOIN outbox_alert AS a ON a.id = due.alert_id
  JOIN engine_alert_channel AS c ON c.kind = due.channel
 WHERE n.alert_id = due.alert_id AND n.channel = due.channel AND n.recovered = due.recovered
RETURNING n.alert_id, n.channel, n.recovered, n.tries, c.sealed,
          a.cause, a.object, a.facts, a.opened_at, a.closed_at
