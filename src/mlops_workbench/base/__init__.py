"""What everything rests on: errors, values, progress, files, clock. Imports nothing of ours."""
