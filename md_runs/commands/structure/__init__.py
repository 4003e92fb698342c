"""The commands that tell where atoms are and how far they travel, one file each."""
