"""What an artifact is compared with, and the message when it fails."""
