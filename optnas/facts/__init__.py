"""What a study says when it is read: its trials, its course, and which of its networks to take."""
