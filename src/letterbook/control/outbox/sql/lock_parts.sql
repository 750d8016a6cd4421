-- tables: outbox_part
-- Parts are locked before their messages and in their order, as everywhere, so that no two statements
-- wait for each other. It is a statement of its own, because whatever it waited for (a takeover, say)
-- is seen only by the statements after it. All parts of the delivery, or the one of a message.
SELECT number FROM outbox_part
 WHERE delivery_id = %(delivery)s
   AND (%(ordinal)s::numeric IS NULL OR %(ordinal)s::numeric BETWEEN first_ordinal AND last_ordinal)
 ORDER BY number
   FOR NO KEY UPDATE
