"""What the parameters of a network are: embeddings of elements, filters, activations, bases."""
