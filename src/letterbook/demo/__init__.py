"""A whole platform for a few minutes: sample people, a sample letter, two sinks, and the proof."""
