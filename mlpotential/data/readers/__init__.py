"""One file per format of reference data; `data.read` is the door to all of them."""
