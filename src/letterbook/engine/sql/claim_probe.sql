-- One worker probes; should it die or take long, another one does so too, which does no harm.
UPDATE outbox_health
   SET probe_at = now() + interval '10 seconds'
 WHERE state = 'down' AND probe_at <= now()
RETURNING route
