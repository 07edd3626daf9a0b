"""What is kept: the database through SQLAlchemy, and blobs beside it. Only here is SQL."""
