"""``bifurk run``: watches the training of a script that knows nothing of bifurk.

``launch`` starts the command with a folder on its ``PYTHONPATH`` whose ``sitecustomize`` waits for
torch to be imported; ``hook`` then waits for an optimizer's first step, ``owners`` finds the
modules that its parameters belong to, and ``bifurk.watch`` does the rest.
"""
