"""Runs flow tasks as processes on this machine."""
