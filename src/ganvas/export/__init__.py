"""Networks that leave the house: as a page that paints without ganvas, as shaders, as paths for plotters, as ONNX."""
