"""What formats share: bytes in, values out."""
