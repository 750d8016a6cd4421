-- One worker after the other: what the next statement sees of the others stays true until the end.
-- Should this worker be cut off in between, the server lets go soon: all others wait for the row.
SELECT set_config('idle_in_transaction_session_timeout', '2s', true)
  FROM outbox_flow WHERE route = %(route)s FOR NO KEY UPDATE
