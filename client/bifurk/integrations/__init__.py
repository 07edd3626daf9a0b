"""One line for the trainers people use: ``transformers``, ``lightning``, ``accelerate``.

Each module imports its framework, and says so where it is missing or too old; importing this
package imports none of them.
"""
