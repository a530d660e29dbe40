"""The async core: from records to windows, from windows to a store."""
