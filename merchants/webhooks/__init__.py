"""Telling shops: signed, durable, and unable to reach where it must not."""
