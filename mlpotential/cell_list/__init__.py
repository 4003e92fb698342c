"""Half lists of neighbours in the order of the compiled kernel, by a compiled cell list."""
