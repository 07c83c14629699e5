"""What an artifact is held against, and what it is told when it does not hold."""
