"""Questions about images: an answer to each."""
