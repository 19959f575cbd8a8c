"""Blind comparison of pictures by people: the page, the pairs, the preference rates."""
