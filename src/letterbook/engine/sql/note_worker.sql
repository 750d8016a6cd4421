INSERT INTO outbox_worker (id, host, process, version)
     VALUES (%(worker)s, %(host)s, %(process)s, %(version)s)
ON CONFLICT (id) DO UPDATE SET seen_at = now()
