"""What tests/rest.py gives the tools that it runs."""
