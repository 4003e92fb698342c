"""Error bars of runs: of sampling, by running on, and of the model, by its committee."""
