"""An exchange with people in it, to try."""
