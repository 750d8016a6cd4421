-- One worker after the other: what the next statement sees of the others stays true until the end.
SELECT FROM outbox_flow WHERE route = %(route)s FOR NO KEY UPDATE
