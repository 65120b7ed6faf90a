"""The version of ganvas."""

VERSION = "0.1.0"
