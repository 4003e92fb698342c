"""Published data sets by their names, and where they are kept between runs."""
