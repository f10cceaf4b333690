"""What a product team runs: lists, reactions and versions over HTTP. Needs the extra ``serve``."""
