"""Any remote that the rclone program knows."""
