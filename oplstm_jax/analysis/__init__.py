"""What learners do while they learn: measurements on trained and training parameters."""
