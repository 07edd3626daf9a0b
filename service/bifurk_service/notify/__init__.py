"""Who is told of an alert, and how: rules, channels, outgoing addresses. No SQL."""
