"""The sections of the data card, one file each. They are made from the manifest alone."""
