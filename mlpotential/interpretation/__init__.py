"""What a trained model has learned: contributions of atoms, rings, embeddings, filters, dimers."""
