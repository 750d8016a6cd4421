"""What every app stands on: the actor, rights, and the audit trail."""
