"""What the champion is asked now, against what it was fitted on, and how right it has been."""
