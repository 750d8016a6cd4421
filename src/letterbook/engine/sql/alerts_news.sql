-- Every open alert is told over every channel, one that was set later too. A channel that is being
-- removed is waited for, and is no channel any more.
INSERT INTO outbox_alert_news (alert_id, channel, recovered)
     SELECT a.id, c.kind, false
       FROM outbox_alert AS a CROSS JOIN engine_alert_channel AS c
      WHERE a.closed_at IS NULL
        AND NOT EXISTS (SELECT FROM outbox_alert_news AS n
                         WHERE n.alert_id = a.id AND n.channel = c.kind AND NOT n.recovered)
        FOR KEY SHARE OF c
