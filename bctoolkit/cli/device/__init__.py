"""What one does with a bundle on the device."""
