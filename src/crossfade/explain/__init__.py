"""Why an item is shown: contributions to its score, reasons made of them, sentences made of those."""
