"""What a set holds that does not belong there, and the set without it."""
