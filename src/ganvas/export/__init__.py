"""Pixel networks that leave the house: as shaders, as a page that paints without ganvas, as paths for plotters."""
