"""The project folder: its files, how they are read back, and how a search resumes."""
