-- tables: outbox_content, outbox_part, deliveries_delivery
-- The deliveries that may still compose a message with a DKIM key: those that have not ended, and
-- those that have but owe copies.
SELECT c.delivery_id
  FROM outbox_content AS c
  JOIN deliveries_delivery AS d ON d.id = c.delivery_id
 WHERE c.content -> 'dkim' @> jsonb_build_array(jsonb_build_object('id', %(key)s::bigint))
   AND (
        d.state NOT IN ('editing', 'analyzing', 'stopped', 'finished', 'failed')
        OR EXISTS (
            SELECT 1 FROM outbox_part AS p
             WHERE p.delivery_id = c.delivery_id AND p.copies_owed > 0
        )
   )
 ORDER BY c.delivery_id
