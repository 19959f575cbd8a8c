"""New layouts out of a dataset's own: flipped, with objects taken out, put in and recombined."""
