"""Side-by-side benchmarks of this project's server and its peers; see ``README.md`` here."""
