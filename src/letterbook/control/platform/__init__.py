"""The platform: its two routes, its one archive address, its policy and its secrets."""
