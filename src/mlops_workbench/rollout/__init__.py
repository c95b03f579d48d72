"""What serves: started, found and stopped as processes or containers."""
