"""A whole run in one file: written from one database and its blobs, brought into another."""
