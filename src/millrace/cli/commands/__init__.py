"""One file a command; the function `command` in it is found by the file's name."""
