"""The numpy core: pure functions from blocks to windows."""
