-- A message went through.
UPDATE outbox_health
   SET state = 'up', because = NULL, since = now(), probe_delay = interval '1 second'
 WHERE route = %(route)s AND state <> 'down'
