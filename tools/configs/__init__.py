"""Settings that come with the program, a TOML file each."""
