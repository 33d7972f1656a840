"""One file per task of the bundle: read settings, call one function of lib, write one table."""
