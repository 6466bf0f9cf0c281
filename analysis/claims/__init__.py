"""What is claimed, and what stored runs say of it."""
