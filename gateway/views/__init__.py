"""Read models: values that follow the log."""
