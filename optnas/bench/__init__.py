"""Tables with known answers, on which samplers and pruners are replayed without training."""
