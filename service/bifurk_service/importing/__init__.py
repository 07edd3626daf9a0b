"""Series computed elsewhere, read from files: points in the service's words."""
