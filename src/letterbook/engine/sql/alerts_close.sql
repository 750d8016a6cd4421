-- A cause that is not there any more is over when it has stayed away for a while. Whoever was to be
-- told of it is told of that too.
WITH gone AS (
    UPDATE outbox_alert
       SET gone_at = now()
     WHERE closed_at IS NULL
       AND gone_at IS NULL
       AND NOT EXISTS (
            SELECT FROM unnest(%(causes)s::text[], %(objects)s::text[]) AS now (cause, object)
             WHERE now.cause = outbox_alert.cause AND now.object = outbox_alert.object
           )
), closed AS (
    UPDATE outbox_alert
       SET closed_at = gone_at
     WHERE closed_at IS NULL AND gone_at <= now() - %(calm)s
 RETURNING id
)
INSERT INTO outbox_alert_news (alert_id, channel, recovered)
     SELECT n.alert_id, n.channel, true
       FROM outbox_alert_news AS n
       JOIN closed ON closed.id = n.alert_id
       JOIN engine_alert_channel AS c ON c.kind = n.channel
      WHERE NOT n.recovered
        FOR KEY SHARE OF c
