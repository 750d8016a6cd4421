"""The control plane: Django, one app a noun, in the order of a letter's journey."""
