"""The gallery: images with boxes, masks and phrases, for the report and for `engine explore`."""
