"""The commands of ``bifurk``, a module a subject."""
