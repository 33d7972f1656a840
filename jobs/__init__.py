"""One file per task of the bundle: reads settings and calls lib."""
