"""What has arrived, and how it becomes tables: pictures, captions and layouts."""
