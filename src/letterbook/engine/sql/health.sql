SELECT route, state, because FROM outbox_health
