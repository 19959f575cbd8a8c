"""The pure-parametric generators, one file a paper: from a layout to a picture, without a bank."""
