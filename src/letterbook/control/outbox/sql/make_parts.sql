-- tables: outbox_part
-- The tallies of a fresh part need no counting: all of its messages are pending.
INSERT INTO outbox_part
            (delivery_id, number, first_ordinal, last_ordinal, pending,
             copies_none, copies_waiting)
     SELECT %(delivery)s, number, first, last, last - first + 1,
            CASE WHEN %(email_bcc)s THEN 0 ELSE last - first + 1 END,
            CASE WHEN %(email_bcc)s THEN last - first + 1 ELSE 0 END
       FROM (
             SELECT number, (number - 1) * %(part_size)s + 1 AS first,
                    least(number * %(part_size)s, %(messages)s) AS last
               FROM generate_series(1, ceil(%(messages)s / %(part_size)s::numeric)::int) AS number
            ) AS ranges
