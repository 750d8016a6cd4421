"""Full-size measurements. ``make bench`` runs them all; results go to docs/results/."""
