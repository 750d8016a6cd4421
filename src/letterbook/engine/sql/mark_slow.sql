UPDATE outbox_health
   SET state = 'slow', because = %(because)s, since = now()
 WHERE route = %(route)s AND state = 'up'
