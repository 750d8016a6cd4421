"""What the DNS says of a domain that letters come from: ``lookup`` asks, the others judge."""
