"""What every room may use: errors, checks, statuses, seeds, progress, the equation registry."""
