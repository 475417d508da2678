"""The stack from outside, a folder a scenario."""
