"""Does a file answer like its source? What is compared, on which images, and what the numbers must keep."""
