"""SQL on the lake: views, the prompt, what it prints, and errors as sentences."""
