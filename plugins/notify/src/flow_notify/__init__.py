"""flow-notify: tells a webhook how runs go (setting ``notify_url``)."""
