"""What is trained, and how one step changes it."""
