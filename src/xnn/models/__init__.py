"""Networks: frozen extractors on the owner's side, tails that the cloud trains."""
