"""A stored model against data: errors, predictions for screening, pictures of both."""
