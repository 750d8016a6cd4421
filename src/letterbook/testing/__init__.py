"""Real counterparts for tests and demonstrations: SMTP servers that capture, refuse and vanish."""
