-- What somebody should know of, as it stands: what, about what, which deliveries, how many, and why
-- in a server's words. The tallies are found by their partial indexes, not by looking through all.
SELECT 'route_down' AS what, h.route AS about,
       ARRAY(SELECT d.id FROM engine_delivery AS d
              WHERE d.state = 'held' AND d.held_route = h.route ORDER BY d.id) AS deliveries,
       CASE WHEN h.route = 'archive'
            THEN (SELECT coalesce(sum(copies_owed), 0)::int
                    FROM outbox_part WHERE copies_owed > 0)
            ELSE 0 END AS count,
       h.because
  FROM outbox_health AS h
 WHERE h.state = 'down'
   AND h.since <= now() - interval '1 second'  -- by then it is known what suffers from it
UNION ALL
SELECT 'in_doubt', 'delivery ' || delivery_id, ARRAY[delivery_id], sum(in_doubt)::int, NULL
  FROM outbox_part WHERE in_doubt > 0 GROUP BY delivery_id
UNION ALL
SELECT 'copies_returned', 'delivery ' || delivery_id, ARRAY[delivery_id],
       sum(copies_returned)::int, NULL
  FROM outbox_part WHERE copies_returned > 0 GROUP BY delivery_id
UNION ALL
SELECT 'brake', 'delivery ' || id, ARRAY[id], 1, because FROM engine_braked
UNION ALL
-- Whoever made a proof was told at once that it failed, and it stays so for good.
SELECT 'failed', 'delivery ' || d.id, ARRAY[d.id], 1, NULL
  FROM engine_delivery AS d
 WHERE d.state = 'failed'
   AND NOT EXISTS (SELECT FROM outbox_content AS c WHERE c.delivery_id = d.id AND c.kind = 'proof')
