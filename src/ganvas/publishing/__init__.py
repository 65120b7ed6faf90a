"""Publishing a run: as a slim folder, with a model card, and on the Hugging Face hub."""
