"""Charts: thin functions from frames that hold exactly what is drawn."""
