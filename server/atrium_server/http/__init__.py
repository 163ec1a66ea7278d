"""Pages, API and metrics over HTTP/1.1. Start reading in `service`."""
