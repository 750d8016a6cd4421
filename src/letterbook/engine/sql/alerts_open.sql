-- What lasts is open already; what was away for a moment only has not been away.
INSERT INTO outbox_alert AS a (cause, object, facts)
     SELECT * FROM unnest(%(causes)s::text[], %(objects)s::text[], %(facts)s::jsonb[])
ON CONFLICT (cause, object) WHERE closed_at IS NULL
  DO UPDATE SET gone_at = NULL WHERE a.gone_at IS NOT NULL
