"""Networks and losses of a user's own: a name becomes files, a hash and a function."""
