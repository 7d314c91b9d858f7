"""The native dialect: REST routes and their JSON."""
