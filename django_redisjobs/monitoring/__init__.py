"""How the queues are: one reading for the admin, for commands and for programs."""
