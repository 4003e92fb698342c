"""The subcommands of `md-runs`, one file each, and what they share. No analysis needs torch."""
