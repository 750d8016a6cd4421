-- tables: recipients_staging
-- Rows of the file as they come. Temporary: no other session sees them, nothing is logged, and
-- they vanish with the transaction.
CREATE TEMPORARY TABLE recipients_staging (
    line bigint NOT NULL,
    key text NOT NULL,
    email text NOT NULL,
    first_name text,
    last_name text,
    language text,
    attributes jsonb NOT NULL
) ON COMMIT DROP
