"""What runs in the timed child process."""
