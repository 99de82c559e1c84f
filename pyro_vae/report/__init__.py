"""Tables, progress and pictures: plain numbers and arrays in, something to look at out."""
