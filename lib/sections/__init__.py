"""The sections of the settings: types and bounds alone, so that reading settings loads no library."""
