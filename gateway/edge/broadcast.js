// The script for pages is still to come.
