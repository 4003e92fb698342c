"""Pictures of what models have learned: these draw and never compute."""
