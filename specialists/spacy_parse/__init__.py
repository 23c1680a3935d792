"""The specialist `spacy_parse`, which parses texts with spaCy."""
