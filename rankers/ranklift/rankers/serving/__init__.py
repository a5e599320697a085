"""What is computed when, and who may ask for it."""
