"""The nouns of email, pure: no socket, no file, no database, no framework."""
