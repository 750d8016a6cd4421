-- What lasts is open already; what was away for a moment only has not been away.
WITH cause AS (
    SELECT * FROM unnest(%(causes)s::text[], %(objects)s::text[], %(facts)s::jsonb[])
               AS c (cause, object, facts)
), back AS (
    UPDATE outbox_alert AS a
       SET gone_at = NULL
      FROM cause
     WHERE a.closed_at IS NULL AND a.gone_at IS NOT NULL
       AND (a.cause, a.object) = (cause.cause, cause.object)
)
INSERT INTO outbox_alert (cause, object, facts)
     SELECT cause, object, facts
       FROM cause
      WHERE NOT EXISTS (
            SELECT FROM outbox_alert AS a
             WHERE a.closed_at IS NULL AND (a.cause, a.object) = (cause.cause, cause.object)
           )
