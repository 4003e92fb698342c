"""Networks that other programs trained, read without running anything of those programs."""
