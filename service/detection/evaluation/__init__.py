"""Detections into COCO's figures, files and pictures."""
