"""The Django project: its settings, and the way a process takes them up."""
