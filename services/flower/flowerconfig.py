"""Flower's options; it reads this file from the folder that it is started in."""

from flower.app import Flower

# It watches. What it could do besides (stop a worker, revoke a task), any page open in the same
# browser could ask of it, because browsers send a password along.
read_only = True
# The result is what a task did: its counts.
tasks_columns = "name,state,result,received,runtime,worker,uuid"
max_tasks = 5000
# It asks the workers eight things at once, every one over connections of its own: one at a time, or
# they are more than Heroku's small Redis admits (20).
Flower.max_workers = 1
# It waits this long for every one of these answers, in ms; a worker answers within 50.
inspect_timeout = 250.0
