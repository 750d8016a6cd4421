SELECT sealed FROM engine_secret WHERE name = %(name)s
