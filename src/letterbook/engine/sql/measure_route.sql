-- What the route accepts a second, all workers together. As long as most letters wait for it, that
-- is what it can do; else it is the least that it can do, which teaches nothing unless it is more
-- than was known. What was measured before the route or its limits changed is forgotten.
UPDATE outbox_flow AS f
   SET per_second = CASE WHEN f.per_second IS NULL OR f.measured_at < r.limited_at
                              OR f.measured_at < r.changed_at THEN now.per_second
                         ELSE f.per_second + (now.per_second - f.per_second) * %(weight)s END,
       measured_at = clock_timestamp()
  FROM (
        SELECT sum(per_second) AS per_second, bool_or(bound) AS bound
          FROM outbox_share
         WHERE route = %(route)s AND until > clock_timestamp()
       ) AS now, engine_route AS r
 WHERE f.route = %(route)s
   AND r.name = f.route
   AND now.per_second > 0
   AND (now.bound OR f.per_second IS NULL OR now.per_second > f.per_second
        OR f.measured_at < greatest(r.limited_at, r.changed_at))
