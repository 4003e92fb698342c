"""Commands for crystals."""
