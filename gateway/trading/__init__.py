"""Order entry without HTTP: verify, charge, place, cancel, withdraw."""
