"""A campaign seen and steered from outside its driver: where it runs, how far it is, how to end it."""
