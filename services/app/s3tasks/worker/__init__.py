"""How the worker and beat live."""
