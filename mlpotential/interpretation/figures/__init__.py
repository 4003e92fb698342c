"""Pictures of what a network learned: draw, never compute."""
