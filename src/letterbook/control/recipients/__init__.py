"""Who may be written to: recipients, lists, denylist, quarantine, and the import of all that."""
