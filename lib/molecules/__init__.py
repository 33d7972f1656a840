"""Molecules: their notations, drawings of them, and training on drawings. The one room that knows chemistry."""
