"""Object detection: detectors on residual networks, their task, and COCO's evaluation."""
