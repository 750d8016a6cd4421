-- A route does not work. It is probed after the delay, which doubles up to a minute until a
-- message has gone through again.
UPDATE outbox_health
   SET state = 'down',
       because = %(because)s,
       since = CASE WHEN state = 'down' THEN since ELSE now() END,
       probe_at = now() + probe_delay,
       probe_delay = least(probe_delay * 2, interval '60 seconds')
 WHERE route = %(route)s
   AND (state <> 'down' OR %(probed)s)
