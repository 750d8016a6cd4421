-- tables: outbox_flow, outbox_part, platform_route, deliveries_delivery
-- What was measured before the route or its limits changed says nothing of it now.
SELECT (SELECT f.per_second
          FROM outbox_flow AS f JOIN platform_route AS r ON r.name = f.route
         WHERE f.route = 'archive' AND f.measured_at >= greatest(r.changed_at, r.limited_at)),
       (SELECT rate FROM platform_route WHERE name = 'archive'),
       (SELECT coalesce(sum(p.copies_waiting + p.copies_owed), 0)::bigint
          FROM outbox_part AS p JOIN deliveries_delivery AS d ON d.id = p.delivery_id
         WHERE d.state IN ('sending', 'retrying', 'held') AND d.id <> %(delivery)s)
