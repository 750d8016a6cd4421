-- tables: recipients_staging, recipients_recipient, recipients_membership
-- The last row of a file wins on one address. A field that the file lacks (NULL) keeps its value;
-- one that is there and empty is emptied. An opt-out is never touched.
WITH latest AS (
    SELECT DISTINCT ON (key) key, email, first_name, last_name, language, attributes
      FROM recipients_staging
  ORDER BY key, line DESC
), merged AS (
    INSERT INTO recipients_recipient AS old
                (key, email, first_name, last_name, language, attributes)
         SELECT key, email, coalesce(first_name, ''), coalesce(last_name, ''),
                coalesce(language, ''), jsonb_strip_nulls(attributes)
           FROM latest
    ON CONFLICT (key) DO UPDATE
            SET email = excluded.email,
                first_name = CASE WHEN %(has_first_name)s
                                  THEN excluded.first_name ELSE old.first_name END,
                last_name = CASE WHEN %(has_last_name)s
                                 THEN excluded.last_name ELSE old.last_name END,
                language = CASE WHEN %(has_language)s
                                THEN excluded.language ELSE old.language END,
                attributes = (old.attributes - %(columns)s::text[]) || excluded.attributes,
                updated_at = now()
      RETURNING id, xmax = 0 AS is_new
), joined AS (
    INSERT INTO recipients_membership (list_id, recipient_id)
         SELECT %(list)s, id FROM merged
    ON CONFLICT DO NOTHING
)
SELECT count(*) FILTER (WHERE is_new), count(*) FILTER (WHERE NOT is_new) FROM merged
