-- One worker at a time looks for causes; the others have nothing to add.
SELECT pg_try_advisory_xact_lock(hashtext('letterbook alerts'))
