-- tables: outbox_message, outbox_fields
-- The first messages and some spread evenly over the rest.
SELECT m.ordinal, m.recipient_id, m.address, f.fields
  FROM outbox_message AS m
  JOIN outbox_fields AS f USING (delivery_id, ordinal)
 WHERE m.delivery_id = %(delivery)s
   AND m.ordinal = ANY (%(ordinals)s)
 ORDER BY m.ordinal
