-- Every open alert is told over every channel, one that was set later too.
INSERT INTO outbox_alert_news (alert_id, channel, recovered)
     SELECT a.id, c.kind, false
       FROM outbox_alert AS a CROSS JOIN engine_alert_channel AS c
      WHERE a.closed_at IS NULL
ON CONFLICT DO NOTHING
