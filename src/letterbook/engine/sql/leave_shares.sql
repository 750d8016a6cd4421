DELETE FROM outbox_share WHERE worker = %(worker)s
