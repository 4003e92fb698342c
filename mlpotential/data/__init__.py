"""Reference data: readers with declared units, reproducible splits, statistics."""
