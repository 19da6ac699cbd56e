"""Views: the pages as people see them in a browser, one module each."""
