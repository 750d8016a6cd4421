-- tables: outbox_alert, outbox_alert_news
-- What lasts, and what is not told yet. A trouble is what a channel last failed of.
SELECT a.id, a.cause, a.object, a.facts::text, a.opened_at, a.closed_at,
       ARRAY(SELECT n.channel FROM outbox_alert_news AS n
              WHERE n.alert_id = a.id AND NOT n.recovered AND n.told_at IS NOT NULL
              ORDER BY n.channel),
       (SELECT coalesce(jsonb_object_agg(n.channel, n.trouble), '{}')::text
          FROM outbox_alert_news AS n
         WHERE n.alert_id = a.id AND n.told_at IS NULL AND n.trouble IS NOT NULL)
  FROM outbox_alert AS a
 WHERE a.closed_at IS NULL
    OR EXISTS (SELECT FROM outbox_alert_news AS n
                WHERE n.alert_id = a.id AND n.told_at IS NULL)
 ORDER BY a.id
