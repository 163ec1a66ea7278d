"""What outlives the process: the database, the lane to it and what waits to be written."""
