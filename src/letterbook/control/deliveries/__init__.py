"""Deliveries: a template's content, copied; its target; its state."""
