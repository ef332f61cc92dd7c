"""What skrub's fitted objects mean."""
