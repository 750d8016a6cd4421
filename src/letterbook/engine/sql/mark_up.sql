UPDATE outbox_health
   SET state = 'up', because = NULL, since = now(), probe_at = NULL
 WHERE route = %(route)s AND state = 'down'
