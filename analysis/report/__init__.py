"""What is read of a sweep: a page, tables and charts in files, the terminal."""
