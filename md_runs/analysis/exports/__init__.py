"""Results in formats of other programs: text from results, without writing files."""
