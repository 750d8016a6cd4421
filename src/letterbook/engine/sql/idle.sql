-- Whether a worker has nothing to do, now or within the time of a lease. Somebody else's lease may
-- run out and leave its part to us; a route that is down gets some patience, counted from when we
-- came.
SELECT NOT EXISTS (
    SELECT
      FROM outbox_part AS p
      JOIN engine_delivery AS d ON d.id = p.delivery_id
     WHERE p.lease_until IS NOT NULL
        OR (p.due_at <= now() + %(lease)s AND d.state IN ('sending', 'retrying'))
        OR (p.copies_owed > 0 AND p.owed_at <= now() + %(lease)s
            AND NOT EXISTS (
                SELECT
                  FROM outbox_health AS h
                  JOIN outbox_worker AS w ON w.id = %(worker)s
                 WHERE h.route = 'archive' AND h.state = 'down'
                   AND greatest(h.since, w.started_at) <= now() - %(patience)s))
) AND NOT EXISTS (
    SELECT
      FROM engine_delivery AS d
      JOIN outbox_health AS h ON h.route = d.held_route
      JOIN outbox_worker AS w ON w.id = %(worker)s
     WHERE d.state = 'held' AND greatest(h.since, w.started_at) > now() - %(patience)s
) AND NOT EXISTS (
    SELECT FROM engine_delivery WHERE state = 'scheduled' AND scheduled_at <= now() + %(lease)s
)
