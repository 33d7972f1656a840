"""What a caption is: notations, vocabularies and scores."""
