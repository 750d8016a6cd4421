DELETE FROM outbox_worker WHERE id = %(worker)s OR seen_at < now() - interval '1 day'
