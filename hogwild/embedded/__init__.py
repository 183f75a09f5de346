"""The embedded model's recipe: the phrase bank and, next to it, what turns it into worksheets and trains on them."""
