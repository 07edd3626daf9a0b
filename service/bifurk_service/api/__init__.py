"""REST: routers by subject, their shapes, and pagination."""
