"""One module per verb of the command `gateway`, thin; heavy imports stay inside the verb."""
