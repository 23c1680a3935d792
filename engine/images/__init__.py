"""Images: reading their bytes, decoding, perceptual hashes, and near-duplicates."""
