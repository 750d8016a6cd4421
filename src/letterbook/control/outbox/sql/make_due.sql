-- tables: outbox_part
-- There is something to do in these parts. Locked in their order, as everywhere.
WITH locked AS MATERIALIZED (
    SELECT number FROM outbox_part
     WHERE delivery_id = %(delivery)s AND number = ANY (%(parts)s)
     ORDER BY number
       FOR NO KEY UPDATE
)
UPDATE outbox_part AS p
   SET due_at = least(p.due_at, now())
  FROM locked
 WHERE p.delivery_id = %(delivery)s
   AND p.number = locked.number
