"""The service in a browser: pages drawn here, a script and a style sheet of its own, nothing from elsewhere."""
