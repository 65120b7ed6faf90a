"""The version of ganvas."""

VERSION = "0.2.0"
