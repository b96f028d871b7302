"""What trainings leave behind."""
