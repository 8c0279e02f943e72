"""Our own loss with a known defect planted in its text."""
