"""Pixel networks that leave the house: as shaders, and as a page that paints without ganvas."""
