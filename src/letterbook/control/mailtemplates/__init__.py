"""Templates: content, sender and options that deliveries are made from."""
