"""The C20 fullerene: the study of the SchNet paper, with its data and a trained model."""
