"""The bifurk service: measures, judges, stores and serves."""
