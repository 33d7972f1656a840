"""What has arrived, and how it becomes tables: images, captions and layouts."""
