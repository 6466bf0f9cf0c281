"""What is asked minus what is stored, cut into pieces, priced and ordered."""
