"""Images: finding their bytes, decoding, perceptual hashes, near-duplicates."""
