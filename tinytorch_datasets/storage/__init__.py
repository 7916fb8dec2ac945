"""What is on disk: whole or absent."""
