"""SBNet: from image-level labels to segmentation masks."""
