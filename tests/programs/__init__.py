"""Small Pyro programs of the usual kinds, and the mistakes that are planted in them."""
