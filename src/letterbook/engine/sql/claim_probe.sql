-- One worker probes; should it die, another does so after a while.
UPDATE outbox_health
   SET probe_at = now() + interval '2 minutes'
 WHERE state = 'down' AND probe_at <= now()
RETURNING route
