-- tables: outbox_part
-- The tallies of a fresh part need no counting: all of its messages are pending.
INSERT INTO outbox_part
            (delivery_id, number, first_ordinal, last_ordinal, wave, starts_after, pending,
             copies_none, copies_waiting)
     SELECT %(delivery)s, number, first_ordinal, last_ordinal, wave, starts_after, extent,
            CASE WHEN %(email_bcc)s THEN 0 ELSE extent END,
            CASE WHEN %(email_bcc)s THEN extent ELSE 0 END
       FROM outbox_plan_parts(%(messages)s, %(part_size)s,
                              %(sizes)s::int[], %(shares)s::numeric[], %(delays)s::interval[])
 CROSS JOIN LATERAL (SELECT last_ordinal - first_ordinal + 1 AS extent) AS counted
