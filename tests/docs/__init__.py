"""The documentation: what it says is run, and how it is built is looked at."""
