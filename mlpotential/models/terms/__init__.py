"""Physical terms beside a network: what there are, and what they add."""
