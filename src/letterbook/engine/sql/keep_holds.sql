-- A delivery is held while a route that it needs is down, and goes on when it is up again. The
-- recipients' route is named first, because without it nothing helps. Only rows that change are
-- locked, and in their order, because several workers do this at once.
WITH wanted AS (
    SELECT d.id, h.route, h.because
      FROM engine_delivery AS d
      JOIN outbox_content AS c ON c.delivery_id = d.id
 LEFT JOIN LATERAL (
            SELECT route, because
              FROM outbox_health
             WHERE state = 'down'
               AND (route = 'recipients'
                    OR c.email_bcc AND (SELECT policy = 'hold' FROM engine_archive))
             ORDER BY route = 'recipients' DESC
             LIMIT 1
           ) AS h ON true
     WHERE d.state IN ('sending', 'retrying', 'held')
       AND (d.held_route, d.because) IS DISTINCT FROM (h.route, h.because)
       AND (d.state = 'held' OR h.route IS NOT NULL)
), changing AS MATERIALIZED (
    SELECT d.id
      FROM engine_delivery AS d JOIN wanted USING (id)
     WHERE d.state IN ('sending', 'retrying', 'held')
     ORDER BY d.id
       FOR NO KEY UPDATE OF d
)
UPDATE engine_delivery AS d
   SET state = CASE WHEN w.route IS NULL THEN 'sending' ELSE 'held' END,
       held_route = w.route,
       because = w.because
  FROM changing JOIN wanted AS w USING (id)
 WHERE d.id = changing.id
