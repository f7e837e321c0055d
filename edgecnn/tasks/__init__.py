"""What training, evaluation and proof must know of each task: a table, and the files of the tasks."""
